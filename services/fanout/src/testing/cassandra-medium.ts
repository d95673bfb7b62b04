/** A keyspace with the inbox store's tables on the node that runs for tests, used for one test after another. */
import { type CassandraSession, connectCassandra } from "@parley/platform/storage/engine/cassandra";
import type { CassandraConfig } from "@parley/platform/storage/engine/cassandra-config";
import { createTestKeyspace } from "@parley/platform/storage/engine/testing/test-keyspace";
import { openStoreOn, type StoreOnSessionOptions } from "../engine/cassandra-inbox-store.ts";
import { timestampOf } from "../engine/inbox-values.ts";
import { migrateCassandra } from "../engine/migrations.ts";
import type { InboxStore } from "../ports.ts";

export type CassandraMedium = AsyncDisposable & {
  readonly config: CassandraConfig;
  /** For looks behind the store; stays open. */
  readonly session: CassandraSession;
  /** A store on `session`, or on the one given; neither is disposed of with it. */
  open(options?: Partial<OpenOptions>): Promise<InboxStore>;
  /** Empties all tables. What was written before stays behind, because the next stores' epoch is above it. */
  wipe(): Promise<void>;
  /** Runs one statement as an administrator would. */
  execute(query: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
};

type OpenOptions = Omit<StoreOnSessionOptions, "epochNumber"> & {
  readonly session: Pick<CassandraSession, "read" | "write">;
};

const TABLES = [
  { name: "inbox_places", key: "log_partition" },
  { name: "inbox_conversations", key: "conversation_id" },
  { name: "inbox_rows", key: "user_id" },
] as const;

/** Creates the keyspace, which takes some seconds. Disposing drops it. */
export async function createCassandraMedium(): Promise<CassandraMedium> {
  await using resources = new AsyncDisposableStack();
  const { config, execute } = resources.use(createTestKeyspace());
  await migrateCassandra(config);
  const session = resources.use(await connectCassandra({ config, applicationName: "parley test" }));
  let epochNumber = 1;
  const owned = resources.move();
  return {
    config,
    session,
    execute,
    async open({ session: given = session, ...options } = {}) {
      const kept: CassandraSession = {
        keyspace: session.keyspace,
        read: (...query) => given.read(...query),
        write: (...statements) => given.write(...statements),
        writeIfAbsent: (statement) => session.writeIfAbsent(statement),
        [Symbol.asyncDispose]: async () => undefined,
      };
      return await openStoreOn(kept, { membershipsCachedMax: 1000, ...options, epochNumber });
    },
    async wipe() {
      epochNumber++;
      const before = timestampOf(epochNumber, 0n) - 1n;
      for (const { name, key } of TABLES) {
        const query = `DELETE FROM ${name} USING TIMESTAMP ${before} WHERE ${key} = ?`;
        const rows = await session.read(`SELECT DISTINCT ${key} FROM ${name}`, []);
        const keys = rows.map((row) => {
          const value = row[key];
          return typeof value === "number" ? value : String(value);
        });
        await Promise.all(keys.map((value) => session.write({ query, params: [value] })));
      }
      await session.write({
        query: "DELETE FROM inbox_log WHERE name = 'log' IF EXISTS",
        params: [],
      });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
