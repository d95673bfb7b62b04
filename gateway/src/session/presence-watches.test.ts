import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { ClientFrameSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import { createManualClock } from "@parley/platform/clock";
import { newUuid } from "@parley/platform/ids";
import { RecordingOutlet } from "../testing/recording-outlet.ts";
import {
  createTestSessions,
  settle,
  type TestSessions,
  testCaller,
} from "../testing/test-sessions.ts";
import { VISIBILITY_CHECK_INTERVAL_MS } from "./limits.ts";
import type { Session } from "./session.ts";

const { ONLINE, OFFLINE, UNSPECIFIED } = PresenceStatus;

/** The states that a road was told, as `[user, status]`. */
function statesOf(outlet: RecordingOutlet): [string, PresenceStatus][] {
  return outlet.of("event").flatMap((bytes) => {
    const { event } = fromBinary(EventSchema, bytes);
    return event.case === "presence" ? [[event.value.userId, event.value.status]] : [];
  });
}

async function watch(test: TestSessions, session: Session, userIds: string[]): Promise<void> {
  const { hub } = test.sessions;
  const frame = { case: "watchPresence" as const, value: { userIds } };
  const answer = await hub.handle(session, create(ClientFrameSchema, { requestId: 7n, frame }));
  assert.equal(answer?.frame.case, "done");
}

describe("presence watches", () => {
  it("tell the present states before `done`, and then each change", async () => {
    await using test = await createTestSessions();
    const { registry } = test.services;
    const friend = testCaller();
    const stranger = newUuid();
    await test.open(friend, new RecordingOutlet());
    const outlet = new RecordingOutlet();
    const session = await test.open(testCaller(), outlet);
    await watch(test, session, [friend.userId, stranger]);
    assert.deepEqual(statesOf(outlet), [
      [friend.userId, ONLINE],
      [stranger, OFFLINE],
    ]);
    for (const ended of test.sessions.hub.sessions.ofDevice(friend.userId, friend.deviceId)) {
      test.sessions.hub.closed(ended);
    }
    await settle();
    assert.deepEqual(statesOf(outlet).at(-1), [friend.userId, OFFLINE]);
    assert.ok(registry.watched.has(friend.userId));
  });

  it("watch each person once for all sessions, and nobody whom no session watches", async () => {
    await using test = await createTestSessions();
    const { registry } = test.services;
    const person = newUuid();
    const outlets = [new RecordingOutlet(), new RecordingOutlet()];
    const sessions: Session[] = [];
    for (const outlet of outlets) sessions.push(await test.open(testCaller(), outlet));
    for (const session of sessions) await watch(test, session, [person]);
    assert.equal(test.sessions.watchedCount, 1);
    registry.announce(person);
    await settle();
    for (const outlet of outlets) assert.equal(statesOf(outlet).length, 2);
    await watch(test, sessions[0] as Session, []);
    assert.ok(registry.watched.has(person));
    test.sessions.hub.closed(sessions[1] as Session);
    await settle();
    assert.equal(test.sessions.watchedCount, 0);
    assert.equal(registry.watched.has(person), false);
  });

  it("leave out whom the person may not see, and notice when that changes", async () => {
    const clock = createManualClock();
    await using test = await createTestSessions({ clock });
    test.sessions.start(() => undefined);
    const { hiddenUsers } = test.services;
    const [seen, hidden] = [newUuid(), newUuid()];
    hiddenUsers.add(hidden);
    const outlet = new RecordingOutlet();
    const session = await test.open(testCaller(), outlet);
    await watch(test, session, [seen, hidden]);
    assert.deepEqual(statesOf(outlet), [[seen, OFFLINE]]);
    hiddenUsers.delete(hidden);
    hiddenUsers.add(seen);
    for (let passed = 0; passed <= VISIBILITY_CHECK_INTERVAL_MS; passed += 1000) {
      clock.advance(1000);
      await settle(4);
    }
    assert.deepEqual(statesOf(outlet).slice(1), [
      [seen, UNSPECIFIED],
      [hidden, OFFLINE],
    ]);
  });

  it("replace the set, and the last of several frames wins", async () => {
    await using test = await createTestSessions();
    const [first, second] = [newUuid(), newUuid()];
    const outlet = new RecordingOutlet();
    const session = await test.open(testCaller(), outlet);
    await Promise.all([watch(test, session, [first]), watch(test, session, [second])]);
    await settle();
    assert.deepEqual([...test.services.registry.watched], [second]);
    assert.deepEqual(statesOf(outlet), [[second, OFFLINE]]);
  });
});
