import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import {
  type WatchPresenceRequest,
  WatchPresenceRequestSchema,
} from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { type Presence, PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import { createDeferred } from "@parley/platform/async/deferred";
import { createAsyncQueue } from "@parley/platform/async/queue";
import type { PresenceState } from "../domain/presence-rules.ts";
import { createTestService, type TestService, userOf } from "../testing/test-service.ts";
import { createWatchPresence } from "./watch-presence.ts";

type Request = MessageInitShape<typeof WatchPresenceRequestSchema>;

/** One gateway's stream; read on demand, so that the test decides how slow it is. */
function openWatch({ registry }: TestService, ...userIds: readonly string[]) {
  const requests = createAsyncQueue<Request>({ max: 100 });
  requests.push({ gatewayId: "west", addedUserIds: [...userIds] });
  const gone = new AbortController();
  const options = { signal: gone.signal };
  const responses = registry.watchPresence(requests, options)[Symbol.asyncIterator]();
  return {
    requests,
    /** The gateway's process ends. */
    vanish: () => gone.abort(),
    responses,
    /** The next answer; its presences by person. */
    async next(): Promise<Map<string, Presence>> {
      const { value, done } = await responses.next();
      assert.equal(done, false);
      const { presences } = value as { presences: Presence[] };
      return new Map(presences.map((presence) => [presence.userId, presence]));
    },
    async end() {
      requests.close();
      for (;;) if ((await responses.next()).done === true) return;
    },
  };
}

test("present states come first, then changes", async () => {
  await using parts = await createTestService();
  const [ann, bob] = [userOf(1), userOf(2)];
  await parts.heartbeat("west", [ann]);
  const heardMs = parts.clock.nowMs();
  const watch = openWatch(parts, ann, bob);
  const present = await watch.next();
  assert.equal(present.get(ann)?.status, PresenceStatus.ONLINE);
  assert.equal(present.get(bob)?.status, PresenceStatus.OFFLINE);
  assert.equal(present.get(bob)?.lastSeenTime, undefined);
  await parts.heartbeat("east", [bob]);
  assert.equal((await watch.next()).get(bob)?.status, PresenceStatus.ONLINE);
  await parts.registry.removeSessions({ gatewayId: "west" });
  const gone = (await watch.next()).get(ann);
  assert.equal(gone?.status, PresenceStatus.OFFLINE);
  assert.equal(gone?.lastSeenTime && timestampMs(gone.lastSeenTime), heardMs);
  await watch.end();
});

test("silence makes people offline within 30 s and a sweep", async () => {
  await using parts = await createTestService();
  const ann = userOf(1);
  await parts.heartbeat("west", [ann], 4000);
  const watch = openWatch(parts, ann);
  await watch.next();
  const next = watch.next();
  parts.clock.advance(27_000);
  assert.equal((await next).get(ann)?.status, PresenceStatus.OFFLINE);
  await watch.end();
});

test("people who are no longer watched are not reported", async () => {
  await using parts = await createTestService();
  const [ann, bob] = [userOf(1), userOf(2)];
  const watch = openWatch(parts, ann, bob);
  await watch.next();
  watch.requests.push({ gatewayId: "west", removedUserIds: [ann], addedUserIds: [bob] });
  await watch.next();
  await parts.heartbeat("west", [ann, bob]);
  assert.deepEqual([...(await watch.next()).keys()], [bob]);
  await watch.end();
});

test("a gateway that does not read gets the newest state of each person, and nothing piles up", async () => {
  await using parts = await createTestService();
  const people = Array.from({ length: 600 }, (_, index) => userOf(index));
  const watch = openWatch(parts, ...people);
  const seen = new Map<string, PresenceStatus>();
  let states = 0;
  const take = async () => {
    for (const [userId, { status }] of await watch.next()) {
      seen.set(userId, status);
      states++;
    }
  };
  while (states < people.length) await take();
  // 50 rounds of everybody coming and going, while nothing is read.
  for (let round = 0; round < 50; round++) {
    await parts.heartbeat("west", people);
    await parts.registry.removeSessions({ gatewayId: "west" });
  }
  await parts.heartbeat("west", people.slice(0, 300));
  while ([...seen.values()].filter((status) => status === PresenceStatus.ONLINE).length !== 300) {
    await take();
  }
  for (const [index, userId] of people.entries()) {
    const expected = index < 300 ? PresenceStatus.ONLINE : PresenceStatus.OFFLINE;
    assert.equal(seen.get(userId), expected);
  }
  // 16 answers wait in the transport; everything else was taken together.
  assert.ok(states < 20 * 600, `${states} states for 60,300 changes`);
  await watch.end();
});

test("what waited for a person who is no longer watched is dropped", async () => {
  const requests = createAsyncQueue<WatchPresenceRequest>({ max: 10 });
  const told = createDeferred<void>();
  let report: ((state: PresenceState) => void) | undefined;
  const handler = createWatchPresence({
    stopSignal: new AbortController().signal,
    registry: {
      watch(onState) {
        report = onState;
        const size = 0;
        const add = async () => told.resolve();
        return { add, remove: () => undefined, size, [Symbol.dispose]: () => undefined };
      },
    },
  });
  const context = { signal: new AbortController().signal } as HandlerContext;
  const responses = handler(requests, context) as AsyncGenerator<{ presences: Presence[] }>;
  const first = responses.next();
  requests.push(create(WatchPresenceRequestSchema, { addedUserIds: ["ann", "bob"] }));
  await told.promise;
  report?.({ userId: "ann", status: "offline", lastSeenTimeMs: undefined });
  await first;
  // From here on nothing is read for a while.
  for (const userId of ["ann", "bob"]) {
    report?.({ userId, status: "online", lastSeenTimeMs: undefined });
  }
  requests.push(create(WatchPresenceRequestSchema, { removedUserIds: ["bob"] }));
  requests.close();
  await new Promise((resolve) => setImmediate(resolve));
  const second = (await responses.next()).value as { presences: Presence[] };
  assert.deepEqual(
    second.presences.map(({ userId }) => userId),
    ["ann"],
  );
  assert.equal((await responses.next()).done, true);
});

test("the end of the service ends the stream", async () => {
  await using parts = await createTestService();
  const watch = openWatch(parts, userOf(1));
  await watch.next();
  const ended = watch.responses.next();
  await parts.stop();
  assert.equal((await ended).done, true);
});

test("a caller that goes away is forgotten", async () => {
  await using parts = await createTestService();
  const watch = openWatch(parts, userOf(1));
  await watch.next();
  const watched = async () => {
    const metrics = await parts.telemetry.metrics.renderMetrics();
    return /parley_presence_users_watched (\d+)/.exec(metrics)?.[1];
  };
  assert.equal(await watched(), "1");
  watch.vanish();
  for (let turn = 0; turn < 100 && (await watched()) !== "0"; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(await watched(), "0");
});
