/** The event loop's end of the thread that holds the SQLite connection. */
import { Worker } from "node:worker_threads";
import { unavailable } from "@parley/platform/errors";
import {
  SqliteError,
  type SqliteReply,
  type SqliteRequest,
  type SqliteResult,
  type SqliteStatement,
  type SqliteValue,
} from "./sqlite-protocol.ts";

export type SqliteRows = {
  readonly rows: readonly Record<string, unknown>[];
  /** Rows inserted, updated or deleted; undefined for a statement that reads. */
  readonly changes: number | undefined;
};

export type SqliteClient = AsyncDisposable & {
  /**
   * Runs a statement; statements run in the order of these calls. Rejects with a `SqliteError` when SQLite
   * refuses it, and with `UNAVAILABLE` / `DATABASE_BUSY` or `DATABASE_CLOSED` when it was not run.
   */
  run(sql: string, parameters: readonly SqliteValue[]): Promise<SqliteRows>;
};

/** Statements on their way; at 10 µs each this is a tenth of a second of work, and a few MiB. */
const STATEMENTS_PENDING_MAX = 10_000;

/** The file cannot be opened. The message names the variable that says where it is. */
export class DatabaseOpenError extends Error {
  override readonly name = "DatabaseOpenError";

  constructor(path: string, reason: string) {
    super(
      `The directory's database ${path} could not be opened: ${reason}. PARLEY_DATA_DIRECTORY says where it is.`,
    );
  }
}

/** Starts the thread and opens the file, which is created if missing. Throws a `DatabaseOpenError`. */
export async function openSqliteClient(path: string): Promise<SqliteClient> {
  const worker = new Worker(new URL("./sqlite-worker.ts", import.meta.url), {
    workerData: { path },
    // node:sqlite says that it is experimental on each first use; the README says so once and for all.
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  const client = new Client(worker, path);
  await client.opened;
  return client;
}

class Client implements SqliteClient {
  readonly #worker: Worker;
  readonly #path: string;
  readonly #pending = new Map<number, PromiseWithResolvers<SqliteRows>>();
  readonly #opened = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #batch: SqliteStatement[] = [];
  #nextId = 0;
  #closed: Error | undefined;

  constructor(worker: Worker, path: string) {
    this.#worker = worker;
    this.#path = path;
    worker.on("message", (reply: SqliteReply) => this.#onReply(reply));
    worker.on("error", (error) => this.#fail(error));
    worker.on("exit", () => {
      this.#fail(new Error("the database thread has ended"));
      this.#ended.resolve();
    });
  }

  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  run(sql: string, parameters: readonly SqliteValue[]): Promise<SqliteRows> {
    if (this.#closed !== undefined) {
      const cause = this.#closed;
      return Promise.reject(unavailable("DATABASE_CLOSED", "The database is closed.", { cause }));
    }
    if (this.#pending.size >= STATEMENTS_PENDING_MAX) {
      return Promise.reject(unavailable("DATABASE_BUSY", "The database has too much to do."));
    }
    const id = this.#nextId++;
    const deferred = Promise.withResolvers<SqliteRows>();
    this.#pending.set(id, deferred);
    this.#batch.push({ id, sql, parameters });
    // What one turn of the event loop asks for travels in one message: a message costs more than a query.
    if (this.#batch.length === 1) queueMicrotask(() => this.#flush());
    return deferred.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed === undefined) {
      this.#flush();
      this.#closed = new Error("the database was closed");
      this.#post({ kind: "close" });
    }
    await this.#ended.promise;
  }

  #flush(): void {
    if (this.#batch.length === 0) return;
    const statements = this.#batch;
    this.#batch = [];
    this.#post({ kind: "run", statements });
  }

  #post(request: SqliteRequest): void {
    this.#worker.postMessage(request);
  }

  #onReply(reply: SqliteReply): void {
    switch (reply.kind) {
      case "opened":
        this.#opened.resolve();
        return;
      case "failed":
        this.#fail(new DatabaseOpenError(this.#path, reply.message));
        return;
      case "results":
        for (const result of reply.results) this.#settle(result);
        return;
      case "closed":
        return;
      default:
        reply satisfies never;
    }
  }

  #settle(result: SqliteResult): void {
    const deferred = this.#pending.get(result.id);
    this.#pending.delete(result.id);
    if (result.ok) deferred?.resolve({ rows: result.rows, changes: result.changes });
    else deferred?.reject(new SqliteError(result.message, result.errorCode));
  }

  #fail(error: Error): void {
    this.#closed ??= error;
    this.#opened.reject(error);
    for (const deferred of this.#pending.values()) {
      deferred.reject(
        unavailable("DATABASE_CLOSED", "The database is closed.", { cause: this.#closed }),
      );
    }
    this.#pending.clear();
  }
}
