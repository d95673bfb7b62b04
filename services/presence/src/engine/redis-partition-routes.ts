/** Routes of partitions in Redis, in one hash, shared by every instance of the service. */
import { readScripts } from "@parley/platform/storage/engine/lua";
import type { RedisConnection } from "@parley/platform/storage/engine/redis";
import { ROUTE_TTL_MS } from "../domain/route-rules.ts";
import type { PartitionRoutes, PartitionTaking } from "../route-ports.ts";
import { createRedisKeys } from "./redis-keys.ts";

export type RedisPartitionRoutesOptions = {
  /** Stays its caller's to dispose of. */
  readonly connection: RedisConnection;
  /** The engine's time in ms; for tests alone. */
  readonly engineTimeMs?: () => number;
};

/** Generations of partitions without an owner are kept for so long; after that they go on from the time. */
const KEY_LIFE_MS = 24 * 3_600_000;

const directory = new URL("./lua/", import.meta.url);
const NAMES = {
  partitionsTake: ["partition-routes", "take-partitions"],
  partitionsRenew: ["partition-routes", "renew-partitions"],
  partitionsRelease: ["partition-routes", "release-partitions"],
  partitionsList: ["partition-routes", "list-partitions"],
} as const;

/** Creates the routes. Every call rejects with `REDIS_UNAVAILABLE` while Redis cannot be reached. */
export function createRedisPartitionRoutes({
  connection,
  engineTimeMs,
}: RedisPartitionRoutesOptions): PartitionRoutes {
  connection.define(readScripts(directory, NAMES));
  const key = createRedisKeys(connection.prefix).partitionRoutes;

  const call = async (name: keyof typeof NAMES, rest: readonly (string | number)[]) => {
    const time = engineTimeMs === undefined ? "" : Math.floor(engineTimeMs());
    const [reply] = await connection.run([
      [name, 1, key, time, ROUTE_TTL_MS, KEY_LIFE_MS, ...rest],
    ]);
    return reply;
  };
  const pairs = (takings: readonly PartitionTaking[]) =>
    takings.flatMap(({ partition, generation }) => [partition, generation]);

  return {
    async take({ address, partitionCount }, partitions) {
      const reply = await call("partitionsTake", [address, partitionCount, ...partitions]);
      const generations = reply as string[];
      return partitions.map((partition, index) => {
        return { partition, generation: Number(generations[index]) };
      });
    },
    async renew({ address, partitionCount }, takings) {
      const reply = await call("partitionsRenew", [address, partitionCount, ...pairs(takings)]);
      return (reply as string[]).map(Number);
    },
    async release(takings) {
      if (takings.length > 0) await call("partitionsRelease", pairs(takings));
    },
    async list() {
      const [count, owners] = (await call("partitionsList", [])) as [string, string[]];
      const found = [];
      for (let at = 0; at < owners.length; at += 3) {
        const [partition, generation, address = ""] = owners.slice(at, at + 3);
        found.push({ partition: Number(partition), generation: Number(generation), address });
      }
      found.sort((a, b) => a.partition - b.partition);
      return { owners: found, partitionCount: found.length === 0 ? 0 : Number(count) };
    },
    async [Symbol.asyncDispose]() {},
  };
}
