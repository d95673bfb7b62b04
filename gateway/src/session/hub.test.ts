import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ClientFrameSchema, GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import { createManualClock } from "@parley/platform/clock";
import { RecordingOutlet } from "../testing/recording-outlet.ts";
import { createTestSessions, settle, testCaller } from "../testing/test-sessions.ts";
import { SessionRefusedError } from "./goodbye.ts";
import { CLOSING_MS_MAX } from "./limits.ts";

const isRefusedFor = (reason: GoodbyeReason) => (error: unknown) =>
  error instanceof SessionRefusedError && error.goodbye.reason === reason;

const close = create(ClientFrameSchema, { requestId: 7n, frame: { case: "close", value: {} } });

describe("opening a session", () => {
  it("does not miss that its device is signed out meanwhile", async () => {
    await using test = await createTestSessions();
    const { registry, revokedDevices } = test.services;
    // Whoever opens it was a signed-in device when the token was looked at.
    const caller = testCaller();
    const opening = test.open(caller, new RecordingOutlet());
    revokedDevices.add(caller.deviceId);
    assert.equal(registry.sessions.size, 0, "whoever ends its sessions now finds none");
    await assert.rejects(opening, isRefusedFor(GoodbyeReason.DEVICE_REVOKED));
    await settle();
    assert.equal(test.sessions.hub.sessions.size, 0);
    assert.equal(registry.sessions.size, 0);
  });

  it("asks about the device behind its registration, where revocations find it", async () => {
    await using test = await createTestSessions();
    const { registry } = test.services;
    const registered: number[] = [];
    test.services.hold = (rpc) => {
      if (rpc === "CheckDevices") registered.push(registry.sessions.size);
      return undefined;
    };
    const outlet = new RecordingOutlet();
    await test.open(testCaller(), outlet);
    assert.deepEqual(registered, [1]);
    assert.equal(outlet.of("opened").length, 1);
  });

  it("says goodbye when nobody can tell about the device", async () => {
    await using test = await createTestSessions();
    test.services.hold = (rpc) =>
      rpc === "CheckDevices" ? Promise.reject(new Error("the directory is away")) : undefined;
    const opening = test.open(testCaller(), new RecordingOutlet());
    await assert.rejects(opening, isRefusedFor(GoodbyeReason.INTERNAL));
    await settle();
    assert.equal(test.services.registry.sessions.size, 0);
  });
});

describe("a session that its client closes", () => {
  it("ends behind its answer, without a goodbye, and is nobody's any more", async () => {
    await using test = await createTestSessions();
    const outlet = new RecordingOutlet();
    const session = await test.open(testCaller(), outlet);
    await settle();
    const { hub } = test.sessions;
    hub.answer(session, hub.handle(session, close));
    assert.ok(outlet.ended);
    assert.equal(outlet.goodbye, undefined);
    const last = outlet.frames.at(-1);
    assert.deepEqual([last?.requestId, last?.frame.case], [7n, "done"]);
    assert.equal(hub.handle(session, close), undefined, "nothing is answered after it");
    await settle();
    assert.equal(hub.sessions.size, 0);
    assert.equal(test.services.registry.sessions.size, 0);
  });

  it("may be closed while the gateway ends, and before its positions are complete", async () => {
    await using test = await createTestSessions();
    const outlet = new RecordingOutlet();
    const session = await test.open(testCaller(), outlet, { positionsComplete: false });
    const { hub } = test.sessions;
    hub.draining = true;
    hub.answer(session, hub.handle(session, close));
    assert.equal(outlet.frames.at(-1)?.frame.case, "done");
    assert.ok(outlet.ended);
  });

  it("is cut off when its client does not take the end", async () => {
    const clock = createManualClock();
    await using test = await createTestSessions({ clock });
    test.sessions.start(() => undefined);
    const outlet = new RecordingOutlet();
    const session = await test.open(testCaller(), outlet);
    test.sessions.hub.handle(session, close);
    clock.advance(CLOSING_MS_MAX - 1000);
    assert.equal(outlet.destroyed, false);
    clock.advance(2000);
    assert.equal(outlet.destroyed, true);
  });
});
