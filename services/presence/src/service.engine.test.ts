import assert from "node:assert/strict";
import { test } from "node:test";
import type { WatchPresenceResponse } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import { openTestRedis } from "@parley/platform/storage/engine/testing/test-redis";
import { createTestService, userOf } from "./testing/test-service.ts";

test("two services on one Redis answer as one, through their RPCs", async () => {
  await using testRedis = await openTestRedis();
  const redis = testRedis.config;
  await using one = await createTestService({ redis });
  await using two = await createTestService({ redis });
  const people = [userOf(1), userOf(2)];
  const stopping = new AbortController();
  const added = Promise.withResolvers<void>();
  const watching = two.registry.watchPresence(
    (async function* () {
      yield { gatewayId: "east", addedUserIds: people };
      await added.promise;
    })(),
    { signal: stopping.signal },
  );
  const told = watching[Symbol.asyncIterator]();
  const next = async (): Promise<PresenceStatus[]> => {
    const { value } = (await told.next()) as IteratorResult<WatchPresenceResponse, undefined>;
    return value?.presences.map(({ status }) => status) ?? [];
  };
  // A Redis that nobody used may have lost what it had.
  assert.deepEqual(await next(), [PresenceStatus.UNSPECIFIED, PresenceStatus.UNSPECIFIED]);

  const { newSessionIds } = await one.heartbeat("west", people.slice(0, 1));
  assert.equal(newSessionIds.length, 1);
  assert.deepEqual(await next(), [PresenceStatus.ONLINE]);
  const { gateways } = await two.registry.lookUpSessions({ userIds: people });
  assert.deepEqual(
    gateways.map(({ gatewayId, gatewayAddress, userIds }) => [gatewayId, gatewayAddress, userIds]),
    [["west", "west:1", people.slice(0, 1)]],
  );
  const { presences } = await two.presenceFor(userOf(1)).batchGetPresence({ userIds: [userOf(1)] });
  assert.deepEqual(
    presences.map(({ status }) => status),
    [PresenceStatus.ONLINE],
  );

  await two.registry.removeSessions({ gatewayId: "west", sessionIds: [] });
  assert.deepEqual(await next(), [PresenceStatus.OFFLINE]);
  added.resolve();
  stopping.abort();
  await told.return?.().catch(() => undefined);
});
