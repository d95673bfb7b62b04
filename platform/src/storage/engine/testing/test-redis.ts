/** Connections to the Redis that runs for tests, each under a prefix of its own. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { openRedis, type RedisConnection, type RedisConnectionOptions } from "../redis.ts";
import type { RedisAddress, RedisConfig } from "../redis-config.ts";

/** Where it listens; see `npm run engines`. */
const TEST_ADDRESS: RedisAddress = { host: "127.0.0.1", port: 16379 };

export function testRedisConfig(changes: Partial<RedisConfig> = {}): RedisConfig {
  return {
    addresses: [TEST_ADDRESS],
    cluster: false,
    username: undefined,
    password: undefined,
    tls: false,
    tlsCaFile: undefined,
    prefix: `test-${randomUUID().slice(0, 8)}:`,
    ...changes,
  };
}

export type TestRedis = AsyncDisposable & {
  readonly config: RedisConfig;
  readonly connection: RedisConnection;
  /** Another connection, as another process would have. Its caller disposes of it. */
  open(options?: Partial<RedisConnectionOptions>): Promise<RedisConnection>;
  /** Every key of this test, in order. */
  listKeys(): Promise<string[]>;
  /** Connections of servers of its own are closed by the test. */
  readonly redis: Redis;
};

/** Connects; disposing it removes the test's keys and closes the connections that it made itself. */
export async function openTestRedis(changes: Partial<RedisConfig> = {}): Promise<TestRedis> {
  const config = testRedisConfig(changes);
  const open = (options: Partial<RedisConnectionOptions> = {}) =>
    openRedis(config, { clientName: "test", ...options });
  const connection = await open();
  const [address = TEST_ADDRESS] = config.addresses;
  const redis = new Redis({ ...address });
  redis.on("error", () => undefined);
  const listKeys = async () => {
    const keys: string[] = [];
    for await (const some of redis.scanStream({ match: `${config.prefix}*`, count: 1000 })) {
      keys.push(...(some as string[]));
    }
    return [...new Set(keys)].sort();
  };
  return {
    config,
    connection,
    open,
    listKeys,
    redis,
    async [Symbol.asyncDispose]() {
      await connection[Symbol.asyncDispose]();
      if (!config.cluster && redis.status === "ready") {
        for (const key of await listKeys()) await redis.del(key);
      }
      redis.disconnect();
    },
  };
}
