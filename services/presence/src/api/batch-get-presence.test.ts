import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import { PresenceService } from "@parley/gen/parley/presence/v1/presence_service_pb";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { createTestService, userOf } from "../testing/test-service.ts";

const [ann, bob, cid, dan] = [userOf(1), userOf(2), userOf(3), userOf(4)] as const;
const { ONLINE, OFFLINE, UNSPECIFIED } = PresenceStatus;

test("who may be seen is shown, in the order asked for; others are unknown", async () => {
  await using parts = await createTestService();
  parts.visible.add(bob).add(dan);
  await parts.heartbeat("west", [bob, cid]);
  const userIds = [cid, bob, dan, bob];
  const { presences } = await parts.presenceFor(ann).batchGetPresence({ userIds });
  assert.deepEqual(
    presences.map(({ userId, status }) => [userId, status]),
    [
      [cid, UNSPECIFIED],
      [bob, ONLINE],
      [dan, OFFLINE],
      [bob, ONLINE],
    ],
  );
});

test("the group on screen is passed on", async () => {
  await using parts = await createTestService();
  const conversationId = userOf(99);
  await parts.presenceFor(ann).batchGetPresence({ userIds: [bob, bob], conversationId });
  const [asked] = parts.filtered;
  assert.equal(asked?.viewerUserId, ann);
  assert.deepEqual(asked?.userIds, [bob]);
  assert.equal(asked?.conversationId, conversationId);
});

test("people see themselves without anybody being asked", async () => {
  await using parts = await createTestService();
  await parts.heartbeat("west", [ann]);
  const { presences } = await parts.presenceFor(ann).batchGetPresence({ userIds: [ann] });
  assert.equal(presences[0]?.status, ONLINE);
  assert.equal(parts.filtered.length, 0);
});

test("last seen survives a restart, and is told only while offline", async () => {
  await using first = await createTestService();
  await first.heartbeat("west", [bob]);
  const heardMs = first.clock.nowMs();
  first.clock.advance(31_000);
  await first.stop();
  await using second = await createTestService({ directory: first.directory });
  second.visible.add(bob);
  const ask = async () => {
    const { presences } = await second.presenceFor(ann).batchGetPresence({ userIds: [bob] });
    return presences[0];
  };
  assert.equal((await ask())?.status, UNSPECIFIED, "the registry may have lost a session");
  second.clock.advance(30_000);
  await new Promise((resolve) => setImmediate(resolve));
  const offline = await ask();
  assert.equal(offline?.status, OFFLINE);
  assert.equal(offline?.lastSeenTime && timestampMs(offline.lastSeenTime), heardMs);
  await second.heartbeat("west", [bob]);
  const online = await ask();
  assert.equal(online?.status, ONLINE);
  assert.equal(online?.lastSeenTime, undefined);
});

test("only devices may ask, for 1 to 100 people", async () => {
  await using parts = await createTestService();
  const many = Array.from({ length: 101 }, (_, index) => userOf(index));
  const presence = parts.presenceFor(ann);
  await assert.rejects(presence.batchGetPresence({ userIds: [] }));
  await assert.rejects(presence.batchGetPresence({ userIds: many }));
  await assert.rejects(presence.batchGetPresence({ userIds: ["nobody"] }));
  const transport = createInProcessTransport({
    routes: parts.service.routes,
    interceptors: standardInterceptors(parts.telemetry),
  });
  await assert.rejects(
    createClient(PresenceService, transport).batchGetPresence({ userIds: [bob] }),
  );
});
