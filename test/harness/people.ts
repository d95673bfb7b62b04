/** Accounts and conversations for benchmarks and scenarios, made over the public API as JSON. */
import { randomUUID } from "node:crypto";

/** Everybody's password here. */
export const password = "a password for tests";

export type Person = {
  readonly username: string;
  readonly userId: string;
  readonly accessToken: string;
};

const CALLS_AT_ONCE_MAX = 8;

export async function call<Response>(
  port: number,
  method: string,
  body: unknown,
  accessToken?: string,
): Promise<Response> {
  const response = await fetch(`http://127.0.0.1:${port}/${method}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(accessToken ? { authorization: `Bearer ${accessToken}` } : {}),
    },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Response;
}

/** Runs `make` for 0..count-1, some at a time, and returns the results in order. */
export async function many<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = new Array(count);
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < count; index = next++) results[index] = await make(index);
  };
  await Promise.all(Array.from({ length: CALLS_AT_ONCE_MAX }, worker));
  return results;
}

export function signUp(port: number, username: string): Promise<Person> {
  type Answer = { user: { userId: string }; tokens: { accessToken: string } };
  return call<Answer>(port, "parley.account.v1.AccountService/SignUp", {
    username,
    password: password,
    device: { name: "test", platform: "DEVICE_PLATFORM_NODE" },
  }).then((answer) => ({
    username,
    userId: answer.user.userId,
    accessToken: answer.tokens.accessToken,
  }));
}

export function signUpMany(port: number, prefix: string, count: number): Promise<Person[]> {
  return many(count, (index) => signUp(port, `${prefix}${index}`));
}

type WithConversation = { conversation: { conversationId: string } };

export async function openDirect(port: number, from: Person, to: Person): Promise<string> {
  const method = "parley.conversation.v1.ConversationService/OpenDirectConversation";
  const answer = await call<WithConversation>(
    port,
    method,
    { userId: to.userId },
    from.accessToken,
  );
  return answer.conversation.conversationId;
}

export async function createGroup(port: number, members: readonly Person[]): Promise<string> {
  const [owner, ...others] = members;
  if (!owner) throw new Error("a group needs an owner");
  const answer = await call<WithConversation>(
    port,
    "parley.conversation.v1.ConversationService/CreateGroup",
    { requestId: randomUUID(), title: "Group", userIds: others.map((other) => other.userId) },
    owner.accessToken,
  );
  return answer.conversation.conversationId;
}
