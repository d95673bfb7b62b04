// Ending a session from this side, on every road.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { WebSocket as WsWebSocket } from "ws";
import { createDeferred } from "../async/deferred.ts";
import { createParleyClient } from "../client.ts";
import { connectPerson, createTestClient, nextEvent, quickTiming } from "../testing/people.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import type { RoadName } from "./road.ts";

const roads: readonly RoadName[] = ["websocket", "connect", "long-poll", "short-poll"];

/** Far below what the server waits for a silent client, far above what closing takes. */
const AT_ONCE_MS = 1_000;

function isCall(input: unknown, name: string): boolean {
  return String(input instanceof Request ? input.url : input).endsWith(`/${name}`);
}

describe("closing", () => {
  for (const transport of roads) {
    it(`makes the person offline at once (${transport})`, async () => {
      await using server = await startTestServer();
      await using bob = await connectPerson(server, "bob");
      const ana = await connectPerson(server, "ana", { transport });
      const chat = await ana.openDirect(bob.userId);
      await chat.send("bye").result;
      await bob.watchPresence([ana.userId]);
      const offline = nextEvent(
        bob,
        "presence",
        ({ userId, status }) => userId === ana.userId && status !== 1,
      );
      await ana.close();
      await assertSoon(offline);
    });

    it(`and disconnecting leave nothing behind, and the person can come back (${transport})`, async () => {
      await using server = await startTestServer();
      await using ana = await connectPerson(server, "ana", { transport });
      await ana.disconnect();
      // A socket's end shows in a later turn of the server's.
      if (transport !== "websocket") assert.equal(server.sessions.sessions.size, 0);
      await assertSoon(noSessions(server));
      assert.equal(ana.state.state, "offline");
      await ana.connect();
      assert.equal(server.sessions.sessions.size, 1);
    });
  }

  for (const transport of ["connect", "long-poll", "short-poll"] as const) {
    it(`does not wait for a server that does not answer (${transport})`, async () => {
      await using server = await startTestServer();
      const timing = { ...quickTiming, closeTimeoutMs: 30 };
      let asked = 0;
      const fetch: typeof globalThis.fetch = (input, init) => {
        if (!isCall(input, "Submit")) return globalThis.fetch(input, init);
        asked++;
        return new Promise(() => {});
      };
      const client = await connectPerson(server, "ana", { transport, timing, fetch });
      await assertSoon(client.close());
      assert.equal(asked, 1);
    });
  }

  it("does not wait for a WebSocket that does not close", async () => {
    await using server = await startTestServer();
    let closes = 0;
    class Stubborn extends WsWebSocket {
      override close(): void {
        closes++;
        setTimeout(() => this.terminate(), 2 * AT_ONCE_MS).unref();
      }
    }
    const timing = { ...quickTiming, closeTimeoutMs: 30 };
    const options = { transport: "websocket", timing, webSocket: Stubborn } as const;
    const client = await connectPerson(server, "ana", options);
    await assertSoon(client.close());
    assert.equal(closes, 1);
  });

  it("does not wait when there is no server any more", async () => {
    for (const transport of roads) {
      const server = await startTestServer();
      const client = await connectPerson(server, "ana", { transport });
      await server.stop();
      await assertSoon(client.close());
    }
  });

  it("ends a polled session that is just being opened", async () => {
    await using server = await startTestServer();
    const gate = createDeferred<void>();
    const opened = createDeferred<void>();
    const fetch: typeof globalThis.fetch = async (input, init) => {
      const answer = await globalThis.fetch(input, init);
      if (!isCall(input, "Poll")) return answer;
      opened.resolve();
      await gate.promise;
      return answer;
    };
    const client = createTestClient(server, { transport: "long-poll", fetch });
    await client.signUp({ username: "ana", password: "correct horse" });
    const connecting = client.connect();
    await opened.promise;
    assert.equal(server.sessions.sessions.size, 1);
    const closed = client.close();
    gate.resolve();
    await closed;
    await assert.rejects(connecting);
    assert.equal(server.sessions.sessions.size, 0);
  });

  it("ends the session on a road that is left for a better one", async () => {
    await using server = await startTestServer();
    server.closedRoads.add("websocket").add("connect");
    const timing = { ...quickTiming, betterRoadMs: 20 };
    await using ana = await connectPerson(server, "ana", { timing });
    const better = nextEvent(
      ana,
      "stateChanged",
      (state) => state.state === "online" && state.road === "websocket",
    );
    server.closedRoads.clear();
    await better;
    const closed = createDeferred<void>();
    const { cut } = server.sessions;
    server.sessions.cut = (session) => {
      cut.call(server.sessions, session);
      closed.resolve();
    };
    if (server.sessions.closes === 0) await closed.promise;
    assert.deepEqual([server.sessions.closes, server.sessions.sessions.size], [1, 1]);
  });

  it("is nothing to a client that never connected", async () => {
    const client = createParleyClient({ url: "http://127.0.0.1:9" });
    await assertSoon(client.close());
  });
});

async function noSessions({ sessions }: TestServer): Promise<void> {
  while (sessions.sessions.size > 0) await new Promise((resolve) => setImmediate(resolve));
}

async function assertSoon(promise: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error("It takes too long.")), AT_ONCE_MS);
  });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
