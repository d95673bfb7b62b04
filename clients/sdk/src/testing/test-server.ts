/**
 * A small server that speaks the contract over real sockets, for tests of clients: one process, everything in
 * memory, and faults on request. It is not the product and shares no code with it.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Code, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { RoadName } from "../session/road.ts";
import { refusal, type TestDevice, TestModel } from "./test-model.ts";
import { registerRealtime, serveWebSockets } from "./test-realtime.ts";
import { registerServices } from "./test-services.ts";
import { TestSessions } from "./test-sessions.ts";

export type TestServer = {
  readonly url: string;
  readonly model: TestModel;
  readonly sessions: TestSessions;
  /** Roads that are closed, as by a proxy. */
  readonly closedRoads: Set<RoadName>;
  /** Calls seen, by method name. */
  readonly calls: Map<string, number>;
  /** Stops listening and drops every connection; what was accepted stays. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  start(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

export async function startTestServer(): Promise<TestServer> {
  const model = new TestModel();
  const sessions = new TestSessions(model);
  const closedRoads = new Set<RoadName>();
  const calls = new Map<string, number>();
  const deviceOf = (context: HandlerContext): TestDevice => {
    const header = context.requestHeader.get("Authorization") ?? "";
    if (!header.startsWith("Bearer "))
      throw refusal(Code.Unauthenticated, "TOKEN_MISSING", "None.");
    return model.authenticate(header.slice("Bearer ".length));
  };
  const world = { model, sessions, closedRoads, calls, deviceOf };
  const adapter = connectNodeAdapter({
    routes(router) {
      registerServices(router, world);
      registerRealtime(router, world);
    },
  });
  let server: Server | undefined;
  let endSockets = () => {};
  let port = 0;
  const start = async () => {
    const next = createServer(adapter);
    endSockets = serveWebSockets(next, world);
    await new Promise<void>((resolve, reject) => {
      next.once("error", reject);
      next.listen(port, "127.0.0.1", resolve);
    });
    port = (next.address() as AddressInfo).port;
    server = next;
  };
  const stop = async () => {
    const stopping = server;
    if (!stopping) return;
    server = undefined;
    sessions.cutAll();
    endSockets();
    const closed = new Promise<void>((resolve) => stopping.close(() => resolve()));
    stopping.closeAllConnections();
    await closed;
  };
  await start();
  return {
    url: `http://127.0.0.1:${port}`,
    model,
    sessions,
    closedRoads,
    calls,
    start,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
