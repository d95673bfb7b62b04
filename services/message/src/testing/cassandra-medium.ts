/** A keyspace with the message store's tables on the node that runs for tests, used for one test after another. */
import { type CassandraSession, connectCassandra } from "@parley/platform/storage/engine/cassandra";
import type { CassandraConfig } from "@parley/platform/storage/engine/cassandra-config";
import { createTestKeyspace } from "@parley/platform/storage/engine/testing/test-keyspace";
import { createStoreOn, type StoreOnSessionOptions } from "../engine/cassandra-message-store.ts";
import { timestampOf } from "../engine/cassandra-values.ts";
import { migrateCassandra } from "../engine/migrations.ts";
import type { MessageStore } from "../ports.ts";

export type CassandraMedium = AsyncDisposable & {
  readonly config: CassandraConfig;
  /** For looks behind the store; stays open. */
  readonly session: CassandraSession;
  /** A store on a session of its own, or on the one given, which it does not dispose of. */
  open(options?: Partial<OpenOptions>): Promise<MessageStore>;
  /** Empties all tables. What was written before stays behind, because the next stores' epoch is above it. */
  wipe(): Promise<void>;
};

type OpenOptions = Omit<StoreOnSessionOptions, "epochNumber"> & {
  readonly session: CassandraSession;
};

/** Tables, their partition keys, and whether their write timestamps are made from offsets. */
const TABLES = [
  { name: "message_checkpoints", key: ["log_partition"], byOffset: true },
  { name: "conversations", key: ["conversation_id"], byOffset: true },
  { name: "receipts", key: ["conversation_id"], byOffset: true },
  { name: "message_rows", key: ["conversation_id", "bucket"], byOffset: false },
  { name: "message_buckets", key: ["conversation_id"], byOffset: false },
  {
    name: "message_dedupe",
    key: ["conversation_id", "user_id", "device_id", "client_message_id"],
    byOffset: false,
  },
  { name: "closed_windows", key: ["conversation_id", "user_id"], byOffset: false },
  { name: "parked_records", key: ["shelf"], byOffset: false },
] as const;

const KEPT_MS = 3_600_000;

/** Creates the keyspace, which takes some seconds. Disposing drops it. */
export async function createCassandraMedium(
  defaults: Pick<StoreOnSessionOptions, "rowsPerBucket"> = {},
): Promise<CassandraMedium> {
  await using resources = new AsyncDisposableStack();
  const { config } = resources.use(createTestKeyspace());
  await migrateCassandra(config);
  const connect = () => connectCassandra({ config, applicationName: "parley test" });
  const session = resources.use(await connect());
  let epochNumber = 1;
  const owned = resources.move();
  return {
    config,
    session,
    async open(options = {}) {
      const onProblem = options.onProblem ?? rethrow;
      const given = options.session;
      const used = given === undefined ? await connect() : keptOpen(given);
      const settings = { dedupeKeptMs: KEPT_MS, ...defaults, ...options, onProblem, epochNumber };
      return createStoreOn(used, settings);
    },
    async wipe() {
      epochNumber++;
      for (const { name, key, byOffset } of TABLES) {
        const before = byOffset ? ` USING TIMESTAMP ${timestampOf(epochNumber, 0) - 1n}` : "";
        const where = key.map((column) => `${column} = ?`).join(" AND ");
        const query = `DELETE FROM ${name}${before} WHERE ${where}`;
        const rows = await session.read(`SELECT DISTINCT ${key.join(", ")} FROM ${name}`, []);
        const params = rows.map((row) => key.map((column) => toValue(row[column])));
        await Promise.all(params.map((values) => session.write({ query, params: values })));
      }
      const query = "DELETE FROM message_log WHERE name = 'log' IF EXISTS";
      await session.write({ query, params: [] });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function rethrow(error: unknown): never {
  throw error;
}

function keptOpen(session: CassandraSession): CassandraSession {
  return {
    keyspace: session.keyspace,
    read: (...query) => session.read(...query),
    write: (...statements) => session.write(...statements),
    writeIfAbsent: (statement) => session.writeIfAbsent(statement),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function toValue(value: unknown): string | number {
  return typeof value === "number" ? value : String(value);
}
