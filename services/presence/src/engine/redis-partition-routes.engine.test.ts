import { createManualClock } from "@parley/platform/clock";
import { openTestRedis } from "@parley/platform/storage/engine/testing/test-redis";
import { runPartitionRoutesContract } from "../route-ports.contract.ts";
import { createRedisPartitionRoutes } from "./redis-partition-routes.ts";

runPartitionRoutesContract("Redis", async () => {
  const testRedis = await openTestRedis();
  const second = await testRedis.open();
  const clock = createManualClock();
  const engineTimeMs = () => clock.nowMs();
  return {
    routes: createRedisPartitionRoutes({ connection: testRedis.connection, engineTimeMs }),
    others: createRedisPartitionRoutes({ connection: second, engineTimeMs }),
    pass: async (ms) => clock.advance(ms),
    async empty() {
      for (const key of await testRedis.listKeys()) await testRedis.redis.del(key);
    },
    async [Symbol.asyncDispose]() {
      await second[Symbol.asyncDispose]();
      await testRedis[Symbol.asyncDispose]();
    },
  };
});
