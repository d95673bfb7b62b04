/** The people, the group and the tokens that one RPC of the authorization matrix is walked with. */
import { randomBytes } from "node:crypto";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { call, createGroup, type Person, password, signUp } from "../harness/people.ts";
import { type TestServer, testEnvironment } from "../harness/server.ts";
import type { CallerKind, World } from "./authorization-table.ts";

export type TokenKind = "anonymous" | "garbage" | "revoked" | "operator";
export type Callers = Record<CallerKind | TokenKind, Transport>;

const accounts = "parley.account.v1.AccountService";
const conversations = "parley.conversation.v1.ConversationService";

/** Callers that hold no person's token; the same for every RPC. */
export async function openTokenCallers(server: TestServer): Promise<Record<TokenKind, Transport>> {
  const gone = await signUp(server.port, randomName("gone"));
  await call(server.port, `${accounts}/SignOut`, {}, gone.accessToken);
  return {
    anonymous: transportWith(server, undefined),
    garbage: transportWith(server, "eyJhbGciOiJFZERTQSJ9.e30.AAAA"),
    revoked: transportWith(server, gone.accessToken),
    operator: transportWith(server, testEnvironment.PARLEY_GATEWAY_OPERATOR_TOKEN),
  };
}

/** A new group with new people, one for each kind of caller: what one RPC changes, no other RPC sees. */
export async function openWorld(
  server: TestServer,
): Promise<{ callers: Record<CallerKind, Transport>; world: World }> {
  const { port } = server;
  const username = randomName("outsider");
  const [owner, admin, member, removed, stranger, bystander, outsider] = (await Promise.all(
    ["owner", "admin", "member", "removed", "stranger", "bystander", username].map((name) =>
      signUp(port, name === username ? username : randomName(name)),
    ),
  )) as [Person, Person, Person, Person, Person, Person, Person];
  const conversationId = await createGroup(port, [owner, admin, member, removed, bystander]);
  const asOwner = <Answer>(method: string, body: object) =>
    call<Answer>(
      port,
      `${conversations}/${method}`,
      { conversationId, ...body },
      owner.accessToken,
    );
  await asOwner("UpdateMemberRole", { userId: admin.userId, role: "ROLE_ADMIN" });
  await asOwner("RemoveMember", { userId: removed.userId });
  type WithLink = { inviteLink: { inviteCode: string } };
  const { inviteLink } = await asOwner<WithLink>("CreateInviteLink", {});
  const other = await signInAgain(port, owner);
  const as = (person: Person) => transportWith(server, person.accessToken);
  return {
    callers: {
      stranger: as(stranger),
      removed: as(removed),
      member: as(member),
      admin: as(admin),
      owner: as(owner),
      ownerOtherDevice: transportWith(server, other),
    },
    world: {
      conversationId,
      inviteCode: inviteLink.inviteCode,
      bystanderUserId: bystander.userId,
      outsiderUserId: outsider.userId,
      username,
      password,
    },
  };
}

async function signInAgain(port: number, person: Person): Promise<string> {
  const device = { name: "matrix", platform: "DEVICE_PLATFORM_NODE" };
  type Answer = { tokens: { accessToken: string } };
  const request = { username: person.username, password, device };
  return (await call<Answer>(port, `${accounts}/SignIn`, request)).tokens.accessToken;
}

function randomName(prefix: string): string {
  return `${prefix}_${randomBytes(6).toString("hex")}`;
}

function transportWith(server: TestServer, token: string | undefined): Transport {
  const authorize: Interceptor = (next) => (request) => {
    if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  return createGrpcTransport({ baseUrl: server.url, interceptors: [authorize] });
}
