/** The in-test server without its sockets: what it knows, and its RPCs. */
import {
  Code,
  type ConnectRouter,
  createConnectRouter,
  type HandlerContext,
} from "@connectrpc/connect";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { orAborted } from "../async/sleep.ts";
import type { RoadName } from "../session/road.ts";
import { refusal, type TestDevice, TestModel } from "./test-model.ts";
import { type RoadWorld, registerRealtime } from "./test-realtime.ts";
import { registerServices, type ServiceWorld } from "./test-services.ts";
import { TestSessions } from "./test-sessions.ts";

export type TestWorld = RoadWorld & ServiceWorld;

export function createTestWorld(): TestWorld {
  const model = new TestModel();
  const deviceOf = (context: HandlerContext): TestDevice => {
    const header = context.requestHeader.get("Authorization") ?? "";
    if (!header.startsWith("Bearer "))
      throw refusal(Code.Unauthenticated, "TOKEN_MISSING", "None.");
    return model.authenticate(header.slice("Bearer ".length));
  };
  return {
    model,
    sessions: new TestSessions(model),
    closedRoads: new Set<RoadName>(),
    calls: new Map<string, number>(),
    deviceOf,
  };
}

export function registerWorld(router: ConnectRouter, world: TestWorld): void {
  registerServices(router, world);
  registerRealtime(router, world);
}

/** A `fetch` that reaches the RPCs in this process: for tests of many runs, where sockets would be slow. */
export function createInProcessFetch(world: TestWorld): typeof globalThis.fetch {
  const router = createConnectRouter();
  registerWorld(router, world);
  const handlers = new Map(
    router.handlers.map((handler) => [handler.requestPath, createFetchHandler(handler)]),
  );
  return async (input, init) => {
    const request = new Request(input, init);
    const handler = handlers.get(new URL(request.url).pathname);
    if (!handler) return new Response(null, { status: 404 });
    // As the real one: whoever aborts is not kept waiting for the answer.
    return orAborted(handler(request), request.signal);
  };
}
