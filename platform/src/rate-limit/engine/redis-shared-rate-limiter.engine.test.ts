import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../../clock.ts";
import { reasonOf } from "../../errors.ts";
import { openTestRedis } from "../../storage/engine/testing/test-redis.ts";
import { runSharedRateLimiterContract } from "../port.contract.ts";
import type { SharedRateLimit } from "../port.ts";
import { createRedisSharedRateLimiter } from "./redis-shared-rate-limiter.ts";

runSharedRateLimiterContract("Redis", async () => {
  await using opening = new AsyncDisposableStack();
  const testRedis = opening.use(await openTestRedis());
  const clock = createManualClock();
  const owned = opening.move();
  return {
    async open(limit: SharedRateLimit) {
      const connection = owned.use(await testRedis.open());
      return createRedisSharedRateLimiter({
        ...limit,
        connection,
        engineTimeMs: () => clock.nowMs(),
      });
    },
    pass: (ms) => clock.advance(ms),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
});

test("every bucket expires when it is full again, by the engine's own clock", async () => {
  await using testRedis = await openTestRedis();
  const { connection, redis } = testRedis;
  const limit = { name: "own", ratePerSecond: 20, burst: 4 };
  const limiter = createRedisSharedRateLimiter({ ...limit, connection });
  await limiter.take([{ key: "a", cost: 4 }, { key: "b" }]);
  const keys = await testRedis.listKeys();
  assert.equal(keys.length, 2);
  for (const key of keys) assert.ok((await redis.pttl(key)) > 0);
  const [refused] = await limiter.take([{ key: "a" }]);
  assert.ok(refused?.ok === false && refused.retryAfterMs <= 50);
  while ((await testRedis.listKeys()).length > 0) await redis.ping();
  assert.deepEqual(await limiter.take([{ key: "a", cost: 4 }]), [{ ok: true }]);
});

test("a clock that is set back gives no tokens and takes none", async () => {
  await using testRedis = await openTestRedis();
  const { connection } = testRedis;
  const limit = { name: "own", ratePerSecond: 0.1, burst: 1 };
  let timeMs = 1e12;
  const limiter = createRedisSharedRateLimiter({
    ...limit,
    connection,
    engineTimeMs: () => timeMs,
  });
  await limiter.take([{ key: "a" }]);
  timeMs -= 3_600_000;
  assert.deepEqual(await limiter.take([{ key: "a" }]), [{ ok: false, retryAfterMs: 10_000 }]);
  timeMs += 10_000;
  assert.deepEqual(await limiter.take([{ key: "a" }]), [{ ok: true }]);
});

test("without a connection nothing is decided, and the caller is told", async () => {
  const testRedis = await openTestRedis();
  const { connection } = testRedis;
  const limiter = createRedisSharedRateLimiter({
    ...{ connection, name: "own", ratePerSecond: 1, burst: 1 },
  });
  await testRedis[Symbol.asyncDispose]();
  await assert.rejects(
    limiter.take([{ key: "a" }]),
    (error) => reasonOf(error) === "REDIS_UNAVAILABLE",
  );
});
