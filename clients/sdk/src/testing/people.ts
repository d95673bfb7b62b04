/** Signed-in clients for tests. */
import { createParleyClient } from "../client.ts";
import type { ClientEvents } from "../events.ts";
import type { ClientOptions } from "../options.ts";
import type { ParleyClient } from "../parley-client.ts";
import { defaultTiming, type Timing } from "../timing.ts";
import type { TestServer } from "./test-server.ts";

/** Waits that are short enough for tests and long enough for a busy machine. */
export const quickTiming: Timing = {
  ...defaultTiming,
  openTimeoutMs: 5_000,
  requestTimeoutMs: 5_000,
  reconnectInitialMs: 10,
  reconnectMaxMs: 100,
  healthyAfterMs: 200,
  shortPollIntervalMs: 20,
  gapGraceMs: 20,
  receiptIntervalMs: 50,
};

/** Creates a client of the test server; nobody is signed in. */
export function createTestClient(
  server: TestServer,
  options: Partial<ClientOptions> = {},
): ParleyClient {
  return createParleyClient({ url: server.url, timing: quickTiming, ...options });
}

/** Signs somebody up, or in if the name is taken, and connects. */
export async function connectPerson(
  server: TestServer,
  username: string,
  options: Partial<ClientOptions> = {},
): Promise<ParleyClient & { readonly userId: string }> {
  const client = createTestClient(server, options);
  await client.ready;
  if (!client.account) {
    const known = server.model.findUser(username);
    const credentials = { username, password: "correct horse" };
    await (known ? client.signIn(credentials) : client.signUp(credentials));
  }
  await client.connect();
  return Object.assign(client, { userId: client.account?.userId ?? "" });
}

/** Resolves with the first event of a kind that satisfies the condition. */
export function nextEvent<K extends keyof ClientEvents>(
  client: ParleyClient,
  kind: K,
  condition: (event: ClientEvents[K]) => boolean = () => true,
): Promise<ClientEvents[K]> {
  return new Promise((resolve) => {
    const off = client.on(kind, (event) => {
      if (!condition(event)) return;
      off();
      resolve(event);
    });
  });
}
