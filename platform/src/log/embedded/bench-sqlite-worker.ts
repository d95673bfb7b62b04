/** The database half of the benchmark's SQLite log: one transaction per message. See `bench-sqlite.ts`. */
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";

/** Records of one transaction: `values[i]` is `bytes[ends[i - 1], ends[i])`. */
export type SqliteBatch = {
  readonly partitions: readonly number[];
  readonly offsets: readonly number[];
  readonly timesMs: readonly number[];
  readonly ends: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
};

const database = new DatabaseSync(String(workerData));
database.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS record (
    topic INTEGER NOT NULL,
    log_partition INTEGER NOT NULL,
    log_offset INTEGER NOT NULL,
    append_time_ms INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (topic, log_partition, log_offset)
  ) WITHOUT ROWID, STRICT;
`);
const insert = database.prepare("INSERT INTO record VALUES (1, ?, ?, ?, ?)");

parentPort?.on("message", (batch: SqliteBatch | "close") => {
  if (batch === "close") {
    database.close();
    parentPort?.close();
    return;
  }
  const { partitions, offsets, timesMs, ends, bytes } = batch;
  database.exec("BEGIN");
  let start = 0;
  for (const [i, end] of ends.entries()) {
    const value = bytes.subarray(start, end);
    insert.run(partitions[i] ?? 0, offsets[i] ?? 0, timesMs[i] ?? 0, value);
    start = end;
  }
  database.exec("COMMIT");
  parentPort?.postMessage("done");
});
