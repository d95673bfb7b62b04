/**
 * A small server that speaks the contract over real sockets, for tests of clients: one process, everything in
 * memory, and faults on request. It is not the product and shares no code with it.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { RoadName } from "../session/road.ts";
import type { TestModel } from "./test-model.ts";
import { serveWebSockets } from "./test-realtime.ts";
import type { TestSessions } from "./test-sessions.ts";
import { createTestWorld, registerWorld } from "./test-world.ts";

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
  const world = createTestWorld();
  const { model, sessions, closedRoads, calls } = world;
  const adapter = connectNodeAdapter({ routes: (router) => registerWorld(router, world) });
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
