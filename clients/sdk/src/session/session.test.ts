import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { GoodbyeReason, ReconnectAdvice } from "@parley/gen/parley/realtime/v1/frame_pb";
import { WebSocket as WsWebSocket } from "ws";
import type { ClientEvents } from "../events.ts";
import type { ParleyClient } from "../parley-client.ts";
import { createMemoryStorage } from "../storage/memory-storage.ts";
import { connectPerson, createTestClient, nextEvent, quickTiming } from "../testing/people.ts";
import { startTestServer } from "../testing/test-server.ts";
import type { RoadName } from "./road.ts";

const isOnline = (state: ClientEvents["stateChanged"]) => state.state === "online";
const isOffline = (state: ClientEvents["stateChanged"]) => state.state === "offline";

function roadOf(client: ParleyClient): RoadName | undefined {
  return client.state.state === "online" ? client.state.road : undefined;
}

describe("a session", () => {
  it("comes back by itself after every kind of loss, on every road", async () => {
    await using server = await startTestServer();
    for (const transport of ["websocket", "connect", "long-poll", "short-poll"] as const) {
      await using client = await connectPerson(server, "ana", { transport });
      for (const lose of [
        () => server.sessions.cutAll(),
        () => server.sessions.sendToAll({ case: "resyncRequired", value: { waitingFrames: 7 } }),
        () => server.sessions.goodbyeAll({ reconnect: ReconnectAdvice.RECONNECT }),
        () => server.stop().then(() => server.start()),
      ]) {
        const back = nextEvent(client, "caughtUp");
        await lose();
        await back;
      }
    }
  });

  it("waits as long as a goodbye asks, plus jitter", async () => {
    await using server = await startTestServer();
    await using client = await connectPerson(server, "ana", { random: () => 0.5 });
    const offline = nextEvent(client, "stateChanged", isOffline);
    server.sessions.goodbyeAll({
      reason: GoodbyeReason.SERVER_DRAINING,
      reconnect: ReconnectAdvice.RECONNECT,
      reconnectDelay: durationFromMs(60_000),
    });
    const state = await offline;
    assert.ok(state.state === "offline");
    assert.equal(state.error?.reason, "SERVER_DRAINING");
    // Half of 60 seconds is the bound of the jitter, and 0.5 of that the jitter.
    assert.equal(state.retryAfterMs, 75_000);
    const online = nextEvent(client, "stateChanged", isOnline);
    client.wake();
    await online;
  });

  it("comes back at once when the browser says that the network is back", async () => {
    const page = new EventTarget();
    Object.assign(globalThis, {
      addEventListener: page.addEventListener.bind(page),
      removeEventListener: page.removeEventListener.bind(page),
    });
    try {
      await using server = await startTestServer();
      const timing = { ...quickTiming, reconnectInitialMs: 600_000, reconnectMaxMs: 600_000 };
      await using client = await connectPerson(server, "ana", { timing, random: () => 1 });
      const offline = nextEvent(client, "stateChanged", isOffline);
      server.sessions.cutAll();
      await offline;
      const online = nextEvent(client, "stateChanged", isOnline);
      page.dispatchEvent(new Event("online"));
      await online;
    } finally {
      Reflect.deleteProperty(globalThis, "addEventListener");
      Reflect.deleteProperty(globalThis, "removeEventListener");
    }
  });

  it("stays away when told to stop, until it is asked to connect again", async () => {
    await using server = await startTestServer();
    await using client = await connectPerson(server, "ana");
    const stopped = nextEvent(client, "stateChanged", isOffline);
    server.sessions.goodbyeAll({
      reason: GoodbyeReason.PROTOCOL_ERROR,
      reconnect: ReconnectAdvice.STOP,
      detail: "Two opens.",
    });
    const state = await stopped;
    assert.ok(state.state === "offline");
    assert.deepEqual([state.error?.reason, state.retryAfterMs], ["PROTOCOL_ERROR", undefined]);
    await client.connect();
    assert.ok(roadOf(client));
  });

  it("gets new tokens when told to, and when the old ones expired meanwhile", async () => {
    await using server = await startTestServer();
    await using client = await connectPerson(server, "ana");
    const online = nextEvent(client, "caughtUp");
    server.sessions.goodbyeAll({
      reason: GoodbyeReason.TOKEN_EXPIRED,
      reconnect: ReconnectAdvice.REAUTHENTICATE,
    });
    await online;
    assert.equal(server.model.refreshes, 1);
    for (const device of server.model.devices.values()) device.accessExpireMs = 0;
    const again = nextEvent(client, "caughtUp");
    server.sessions.cutAll();
    await again;
    assert.equal(server.model.refreshes, 2);
  });

  it("ends for good when the device was revoked", async () => {
    await using server = await startTestServer();
    await using client = await connectPerson(server, "ana");
    for (const device of server.model.devices.values()) device.revoked = true;
    const signedOut = nextEvent(client, "signedOut");
    const offline = nextEvent(
      client,
      "stateChanged",
      (state) => state.state === "offline" && state.retryAfterMs === undefined,
    );
    server.sessions.goodbyeAll({
      reason: GoodbyeReason.DEVICE_REVOKED,
      reconnect: ReconnectAdvice.REAUTHENTICATE,
    });
    assert.equal((await signedOut).reason, "REFRESH_TOKEN_INVALID");
    await offline;
    assert.equal(client.account, undefined);
    await assert.rejects(client.connect(), { reason: "NOT_CONNECTED" });
  });

  it("renews its token before it expires, without a new session", async () => {
    await using server = await startTestServer();
    server.model.accessLifetimeMs = 400;
    const timing = { ...quickTiming, tokenMarginMs: 200 };
    await using client = await connectPerson(server, "ana", { timing });
    let opens = 0;
    client.on("stateChanged", () => opens++);
    while (server.model.refreshes < 3) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(opens, 0);
    assert.equal(server.sessions.sessions.size, 1);
  });

  it("notices a server that fell silent", async () => {
    await using server = await startTestServer();
    server.sessions.heartbeatMs = 20;
    const timing = { ...quickTiming, silenceMs: 100 };
    await using client = await connectPerson(server, "ana", { timing });
    // The server forgets the session without closing its socket, as half-open connections do.
    server.sessions.handle = () => undefined;
    const lost = nextEvent(client, "stateChanged", isOffline);
    const state = await lost;
    assert.ok(state.state === "offline");
    assert.match(state.error?.message ?? "", /silent/);
  });

  it("sends more than a thousand positions in pages", async () => {
    await using server = await startTestServer();
    const storage = { ...createMemoryStorage(), close: async () => {} };
    const timelines = Array.from({ length: 2_500 }, () => ({
      conversationId: randomUUID(),
      position: 5n,
      holes: [],
      readSeq: 5n,
      confirmedReadSeq: 5n,
      confirmedDeliveredSeq: 5n,
    }));
    await storage.write({ timelines });
    for (const transport of ["websocket", "connect", "long-poll"] as const) {
      await using client = await connectPerson(server, "ana", { storage, transport });
      assert.ok(roadOf(client));
      const opened = server.sessions.opens.at(-1);
      assert.equal(opened?.positions.size, 2_500);
    }
  });
});

describe("roads", () => {
  it("are tried in order until one is passable, which is remembered", async () => {
    await using server = await startTestServer();
    const storage = { ...createMemoryStorage(), close: async () => {} };
    server.closedRoads.add("websocket");
    {
      await using client = await connectPerson(server, "ana", { storage });
      assert.equal(roadOf(client), "connect");
    }
    const tried: string[] = [];
    await using again = createTestClient(server, { storage });
    again.on("stateChanged", (state) => {
      if (state.state === "connecting") tried.push(state.road);
    });
    await again.connect();
    assert.deepEqual(tried, ["connect"]);
    server.closedRoads.add("connect");
    const polling = nextEvent(
      again,
      "stateChanged",
      (s) => s.state === "online" && s.road === "long-poll",
    );
    server.sessions.cutAll();
    await polling;
  });

  it("are left for a better one that opens later, missing nothing", async () => {
    await using server = await startTestServer();
    server.closedRoads.add("websocket").add("connect");
    const timing = { ...quickTiming, betterRoadMs: 50 };
    await using bob = await connectPerson(server, "bob");
    await using ana = await connectPerson(server, "ana", { timing });
    assert.equal(roadOf(ana), "long-poll");
    const shown: bigint[] = [];
    ana.on("message", (entry) => shown.push(entry.seq));
    const chat = await bob.openDirect(ana.userId);
    const better = nextEvent(
      ana,
      "stateChanged",
      (s) => s.state === "online" && s.road === "websocket",
    );
    const texts = Array.from({ length: 30 }, (_, index) => `${index}`);
    const sending = (async () => {
      for (const text of texts) await chat.send(text).result;
    })();
    server.closedRoads.clear();
    await better;
    await sending;
    if (ana.conversation(chat.id).position < 31n)
      await nextEvent(ana, "message", (e) => e.seq === 31n);
    assert.deepEqual(
      shown,
      Array.from({ length: 31 }, (_, index) => BigInt(index + 1)),
    );
    assert.equal(roadOf(ana), "websocket");
  });

  it("do not change because the server restarts", async () => {
    await using server = await startTestServer();
    await using client = await connectPerson(server, "ana");
    const roads: string[] = [];
    client.on("stateChanged", (state) => {
      if (state.state === "connecting") roads.push(state.road);
    });
    const offline = nextEvent(client, "stateChanged", isOffline);
    await server.stop();
    await offline;
    await server.start();
    await nextEvent(client, "caughtUp");
    assert.deepEqual(new Set(roads), new Set(["websocket"]));
  });

  it("take a WebSocket that is passed in, where there is no global one", async () => {
    await using server = await startTestServer();
    let made = 0;
    class Counted extends WsWebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        made++;
      }
    }
    await using client = await connectPerson(server, "ana", {
      transport: "websocket",
      webSocket: Counted,
    });
    assert.equal(roadOf(client), "websocket");
    assert.equal(made, 1);
  });
});
