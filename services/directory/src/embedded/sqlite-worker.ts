/**
 * The thread that holds the one connection to a SQLite file: a disk sync blocks it, and not the event loop.
 * Started by `sqlite-client.ts` and spoken to in the messages of `sqlite-protocol.ts`.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type {
  SqliteReply,
  SqliteRequest,
  SqliteResult,
  SqliteStatement,
  SqliteWorkerData,
} from "./sqlite-protocol.ts";

/** Prepared statements that are kept; queries are few, but each length of an `in (…)` list is one of its own. */
const STATEMENTS_KEPT_MAX = 512;
/** Another process (a backup, an operator's shell) may hold the file for a moment. */
const BUSY_TIMEOUT_MS = 5000;

function open(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(path, {
    enableForeignKeyConstraints: true,
    timeout: BUSY_TIMEOUT_MS,
  });
  // Full: a commit is on disk when it is answered, after a loss of power too.
  database.exec("pragma journal_mode = wal; pragma synchronous = full;");
  return database;
}

function createRunner(database: DatabaseSync): (statement: SqliteStatement) => SqliteResult {
  const prepared = new Map<string, { statement: StatementSync; reads: boolean }>();

  const prepare = (sql: string) => {
    const known = prepared.get(sql);
    if (known !== undefined) {
      prepared.delete(sql);
      prepared.set(sql, known);
      return known;
    }
    const statement = database.prepare(sql);
    const entry = { statement, reads: statement.columns().length > 0 };
    if (prepared.size >= STATEMENTS_KEPT_MAX) {
      prepared.delete(prepared.keys().next().value as string);
    }
    prepared.set(sql, entry);
    return entry;
  };

  return ({ id, sql, parameters }) => {
    try {
      const { statement, reads } = prepare(sql);
      if (reads) return { id, ok: true, rows: statement.all(...parameters), changes: undefined };
      const { changes } = statement.run(...parameters);
      return { id, ok: true, rows: [], changes: Number(changes) };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const errorCode =
        error instanceof Error && "errcode" in error && typeof error.errcode === "number"
          ? error.errcode
          : 0;
      return { id, ok: false, message, errorCode };
    }
  };
}

function serve(): void {
  const port = parentPort;
  if (port === null) throw new Error("sqlite-worker.ts runs only as a worker thread");
  const reply = (message: SqliteReply) => port.postMessage(message);
  let database: DatabaseSync;
  try {
    database = open((workerData as SqliteWorkerData).path);
  } catch (error) {
    reply({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
    port.close();
    return;
  }
  const run = createRunner(database);
  port.on("message", (request: SqliteRequest) => {
    if (request.kind === "run") {
      reply({ kind: "results", results: request.statements.map(run) });
      return;
    }
    database.close();
    reply({ kind: "closed" });
    port.close();
  });
  reply({ kind: "opened" });
}

serve();
