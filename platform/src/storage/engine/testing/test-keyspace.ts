/** A keyspace for tests, on the node that runs for them (`npm run engines`). */
import { randomUUID } from "node:crypto";
import { Client } from "cassandra-driver";
import type { CassandraConfig } from "../cassandra-config.ts";

/** Where the node listens. */
export const TEST_CONTACT_POINT = "127.0.0.1:19042";

const DROP_TIMEOUT_MS = 60_000;

export type TestKeyspace = AsyncDisposable & {
  /** Points at a keyspace of its own, which does not exist before it is migrated. Disposing drops it. */
  readonly config: CassandraConfig;
  /** Runs one statement as an administrator would. */
  execute(query: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
};

export function createTestKeyspace(): TestKeyspace {
  const keyspace = `test_${randomUUID().slice(0, 8)}`;
  const config: CassandraConfig = {
    contactPoints: [TEST_CONTACT_POINT],
    datacenter: "datacenter1",
    keyspace,
    replication: { datacenter1: 1 },
  };
  const client = new Client({
    contactPoints: [...config.contactPoints],
    localDataCenter: config.datacenter,
    socketOptions: { readTimeout: DROP_TIMEOUT_MS },
    encoding: { useBigIntAsLong: true },
  });
  return {
    config,
    execute: async (query) => (await client.execute(query)).rows,
    async [Symbol.asyncDispose]() {
      await client.execute(`DROP KEYSPACE IF EXISTS ${keyspace}`);
      await client.shutdown();
    },
  };
}
