import { after } from "node:test";
import type { RedisConfig } from "@parley/platform/storage/engine/redis-config";
import {
  type OwnCluster,
  startRedisCluster,
} from "@parley/platform/storage/engine/testing/redis-server";
import {
  type RegistryFixture,
  type RegistryFixtureOptions,
  runSessionRegistryContract,
} from "../ports.contract.ts";
import { openInstances } from "./testing/test-instances.ts";

async function createFixture(
  options: RegistryFixtureOptions = {},
  redis: Partial<RedisConfig> = {},
): Promise<RegistryFixture> {
  const rig = await openInstances({ ...options, redis, count: 1 });
  const { registry, lastSeen } = rig.one;
  return {
    registry,
    lastSeen,
    clock: rig.clock,
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  };
}

runSessionRegistryContract("Redis", createFixture);

let starting: Promise<OwnCluster> | undefined;
after(async () => (await starting)?.[Symbol.asyncDispose]());

runSessionRegistryContract("a Redis cluster", async (options) => {
  starting ??= startRedisCluster();
  const { addresses } = await starting;
  return createFixture(options, { addresses, cluster: true });
});
