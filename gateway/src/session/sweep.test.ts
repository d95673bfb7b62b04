import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ClientFrameSchema, GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import { createManualClock, type ManualClock } from "@parley/platform/clock";
import { RecordingOutlet } from "../testing/recording-outlet.ts";
import { createTestSessions, settle, testCaller } from "../testing/test-sessions.ts";
import { CLOSING_MS_MAX, HEARTBEAT_INTERVAL_MS } from "./limits.ts";

const heartbeat = create(ClientFrameSchema, { frame: { case: "heartbeat", value: {} } });

const reasonOf = (outlet: RecordingOutlet) => outlet.goodbye?.reason;

/** Lets time pass in steps, so that what each step starts also happens. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1000) {
    clock.advance(Math.min(1000, ms - passed));
    await settle(4);
  }
}

async function start() {
  const clock = createManualClock();
  const test = await createTestSessions({ clock });
  test.sessions.start(() => undefined);
  return { clock, ...test, hub: test.sessions.hub };
}

describe("the sweep", () => {
  it("reports every session with its age each interval", async () => {
    await using test = await start();
    const { clock, hub } = test;
    const { registry } = test.services;
    const outlets = [new RecordingOutlet(), new RecordingOutlet()];
    const [loud, quiet] = [
      await test.open(testCaller(), outlets[0] as RecordingOutlet),
      await test.open(testCaller(), outlets[1] as RecordingOutlet),
    ];
    await pass(clock, HEARTBEAT_INTERVAL_MS - 1000);
    hub.handle(loud, heartbeat);
    await pass(clock, 1000);
    assert.equal(registry.sessions.get(loud.id)?.ageMs, 1000);
    assert.equal(registry.sessions.get(quiet.id)?.ageMs, HEARTBEAT_INTERVAL_MS);
    assert.equal(outlets[1]?.pings, 0);
    await pass(clock, 2000);
    assert.ok((outlets[1]?.pings ?? 0) > 0, "a silent client is asked");
    assert.equal(outlets[0]?.pings, 0, "a client that speaks is not");
  });

  it("catches up the sessions that the registry had lost", async () => {
    await using test = await start();
    const { chat, registry } = test.services;
    const caller = testCaller();
    const conversationId = chat.createConversation([caller.userId]);
    const outlet = new RecordingOutlet();
    await test.open(caller, outlet);
    await settle();
    registry.lose();
    chat.append({ conversationId, senderUserId: caller.userId, payload: new Uint8Array([1]) });
    assert.deepEqual(outlet.seqsOf(conversationId), []);
    await pass(test.clock, HEARTBEAT_INTERVAL_MS);
    assert.deepEqual(outlet.seqsOf(conversationId), [1]);
    assert.equal(outlet.of("caughtUp").length, 1);
  });

  it("ends who is silent for a minute, and nobody who is not", async () => {
    await using test = await start();
    const silent = new RecordingOutlet();
    const speaking = new RecordingOutlet();
    await test.open(testCaller(), silent);
    const session = await test.open(testCaller(), speaking);
    for (let tens = 0; tens < 6; tens++) {
      test.hub.handle(session, heartbeat);
      await pass(test.clock, 10_000);
    }
    assert.equal(reasonOf(silent), GoodbyeReason.IDLE);
    assert.equal(reasonOf(speaking), undefined);
    assert.equal(test.hub.sessions.size, 1);
    assert.equal(test.services.registry.sessions.size, 1);
    assert.equal(silent.destroyed, false);
    await pass(test.clock, CLOSING_MS_MAX);
    assert.equal(silent.destroyed, true, "who does not take the goodbye is cut off");
  });

  it("ends a session when its token expires, unless it has a new one", async () => {
    await using test = await start();
    const outlet = new RecordingOutlet();
    const expireTimeMs = test.clock.nowMs() + 10_000;
    const session = await test.open({ ...testCaller(), expireTimeMs }, outlet);
    session.expireTimeMs += 10_000;
    await pass(test.clock, 15_000);
    assert.equal(reasonOf(outlet), undefined);
    await pass(test.clock, 6000);
    assert.equal(reasonOf(outlet), GoodbyeReason.TOKEN_EXPIRED);
  });

  it("does not notice that the clock is set, back or ahead", async () => {
    await using test = await start();
    const { clock, hub } = test;
    const { registry } = test.services;
    const outlet = new RecordingOutlet();
    const session = await test.open(testCaller(), outlet);
    for (const stepMs of [-3_600_000, 7_200_000]) {
      const { heartbeats } = registry;
      hub.handle(session, heartbeat);
      clock.set(clock.nowMs() + stepMs);
      await pass(clock, HEARTBEAT_INTERVAL_MS);
      assert.equal(registry.heartbeats, heartbeats + 1, `after a step of ${stepMs} ms`);
      assert.equal(registry.sessions.get(session.id)?.ageMs, HEARTBEAT_INTERVAL_MS);
      assert.equal(reasonOf(outlet), undefined);
    }
  });

  it("asks about devices every minute", async () => {
    await using test = await start();
    const outlet = new RecordingOutlet();
    const session = await test.open(testCaller(), outlet);
    test.services.revokedDevices.add(session.deviceId);
    for (let tens = 0; tens < 7; tens++) {
      test.hub.handle(session, heartbeat);
      await pass(test.clock, 10_000);
    }
    assert.equal(reasonOf(outlet), GoodbyeReason.DEVICE_REVOKED);
  });

  it("ends a session whose positions do not come, and one that takes nothing of its catch-up", async () => {
    await using test = await start();
    const { chat } = test.services;
    const waiting = new RecordingOutlet();
    await test.open(testCaller(), waiting, { positionsComplete: false });
    const caller = testCaller();
    const conversationId = chat.createConversation([caller.userId]);
    for (let count = 0; count < 5; count++) {
      chat.append({ conversationId, senderUserId: caller.userId, payload: new Uint8Array([1]) });
    }
    const stuck = new RecordingOutlet(2);
    const session = await test.open(caller, stuck);
    await settle();
    assert.deepEqual(stuck.seqsOf(conversationId), [1]);
    for (let tens = 0; tens < 4; tens++) {
      test.hub.handle(session, heartbeat);
      await pass(test.clock, 10_000);
    }
    assert.equal(reasonOf(waiting), GoodbyeReason.PROTOCOL_ERROR);
    assert.equal(reasonOf(stuck), GoodbyeReason.SLOW_CONSUMER);
    assert.equal(stuck.of("resyncRequired").length, 1);
  });

  it("ends a session that floods, and not one that was busy in another second", async () => {
    await using test = await start();
    const outlet = new RecordingOutlet();
    const session = await test.open(testCaller(), outlet);
    for (let second = 0; second < 5; second++) {
      for (let count = 0; count < 900; count++) test.hub.handle(session, heartbeat);
      await pass(test.clock, 1000);
    }
    assert.equal(reasonOf(outlet), undefined);
    for (let count = 0; count < 2_000_000 && !session.ended; count++) {
      test.hub.handle(session, heartbeat);
    }
    assert.equal(reasonOf(outlet), GoodbyeReason.RATE_LIMITED);
  });
});
