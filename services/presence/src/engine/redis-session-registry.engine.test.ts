import { createManualClock } from "@parley/platform/clock";
import { openTestRedis } from "@parley/platform/storage/engine/testing/test-redis";
import {
  type RegistryFixture,
  type RegistryFixtureOptions,
  runSessionRegistryContract,
} from "../ports.contract.ts";
import { createRedisLastSeenStore } from "./redis-last-seen-store.ts";
import { createRedisSessionRegistry } from "./redis-session-registry.ts";

async function createFixture({
  sessionsMax = 1_000_000,
  lostSessions = false,
}: RegistryFixtureOptions = {}): Promise<RegistryFixture> {
  const testRedis = await openTestRedis();
  const { connection } = testRedis;
  const clock = createManualClock();
  const startMs = clock.nowMs();
  const lastSeen = createRedisLastSeenStore({ connection, clock });
  const registry = createRedisSessionRegistry({
    connection,
    lastSeen,
    sessionsMax,
    lostSessions,
    engineTimeMs: () => startMs + clock.monotoneMs(),
  });
  return {
    registry,
    clock,
    lastSeen,
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      await lastSeen[Symbol.asyncDispose]();
      await testRedis[Symbol.asyncDispose]();
    },
  };
}

runSessionRegistryContract("Redis", createFixture);
