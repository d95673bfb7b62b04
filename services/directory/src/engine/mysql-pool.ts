/** Connections to MySQL or MariaDB as Kysely takes them: bounded, and with errors that callers can be told. */
import { readFileSync } from "node:fs";
import { SettingError } from "@parley/platform/config";
import type { MysqlConfig } from "@parley/platform/storage/engine/mysql-config";
import type { MysqlPoolConnection as KyselyConnection, MysqlPool as KyselyPool } from "kysely";
import { createPool, type Pool, type PoolConnection, type QueryError } from "mysql2";
import {
  databaseBusy,
  databaseClosed,
  isTimeout,
  MysqlError,
  toMysqlRefusal,
} from "./mysql-errors.ts";

export type MysqlPoolOptions = {
  readonly connectionsMax: number;
  /** One statement, its wait for locks included, in ms. A connection that takes longer is given up. */
  readonly statementTimeoutMs: number;
  /** Undefined before the database exists. */
  readonly database: string | undefined;
  /** Numbers of server errors that count as success. */
  readonly ignored?: ReadonlySet<number>;
  /** Called when the server cannot be reached or stops to answer; must not throw. */
  readonly onProblem?: ((error: Error) => void) | undefined;
  /** Called when it answers again; must not throw. */
  readonly onRecovered?: (() => void) | undefined;
};

const CONNECT_TIMEOUT_MS = 5000;
/** Calls that wait for a connection: at 5 ms a transaction and 20 connections, a quarter of a second of work. */
const CALLS_WAITING_MAX = 1000;
/** Callers have less patience than this; they repeat. */
const CONNECTION_WAIT_MAX_MS = 5000;
/** Shorter than the server's patience below, so that it ends no connection that a call is about to use. */
const IDLE_MAX_MS = 20_000;
/** The locks of an instance that vanished without a farewell (a cut network) are held for this long. */
const SILENCE_MAX_SECONDS = 30;
const KEEP_ALIVE_INITIAL_MS = 10_000;
/** Rows are locked for ms; who waits longer waits for a transaction that hangs, and gives up before its caller does. */
const LOCK_WAIT_MAX_SECONDS = 3;

/**
 * What every session begins with. Strict: a text that is too long is refused, not cut off. Read committed, because
 * decisions are made under row locks, and what they read after the lock must be what the last holder committed; it
 * also locks no gaps between rows, over which inserts of different rows would meet in deadlocks.
 */
const SESSION_STATEMENTS = [
  `set session sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', autocommit = 1, innodb_lock_wait_timeout = ${LOCK_WAIT_MAX_SECONDS}, wait_timeout = ${SILENCE_MAX_SECONDS}`,
  "set session transaction isolation level read committed",
];

/** Creates the pool; a connection is made by the first call. Throws SettingError for certificates that cannot be read. */
export function createMysqlPool(config: MysqlConfig, options: MysqlPoolOptions): KyselyPool {
  return new BoundedPool(config, options);
}

class BoundedPool implements KyselyPool {
  readonly #pool: Pool;
  readonly #options: MysqlPoolOptions;
  readonly #known = new WeakMap<PoolConnection, Connection>();
  #failing = false;
  #ended = false;

  constructor(config: MysqlConfig, options: MysqlPoolOptions) {
    this.#options = options;
    const { host, port, username: user, password, tlsCaFile } = config;
    const { database, connectionsMax } = options;
    this.#pool = createPool({
      ...{ host, port, user, charset: "utf8mb4_bin" },
      ...(password === undefined ? {} : { password }),
      ...(database === undefined ? {} : { database }),
      ...(tlsCaFile === undefined ? {} : { ssl: trusting(tlsCaFile) }),
      connectTimeout: CONNECT_TIMEOUT_MS,
      connectionLimit: connectionsMax,
      // The driver ends what is idle only where this is below the limit.
      maxIdle: Math.max(1, connectionsMax - 1),
      idleTimeout: IDLE_MAX_MS,
      queueLimit: CALLS_WAITING_MAX,
      enableKeepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_INITIAL_MS,
      // A number that a double cannot hold comes as a text, and is refused where it is read.
      supportBigNumbers: true,
      dateStrings: true,
      // Never a file of this machine, whatever the server asks for.
      flags: ["-LOCAL_FILES"],
    });
  }

  getConnection(callback: (error: unknown, connection: KyselyConnection) => void): void {
    this.#acquire().then(
      (connection) => callback(undefined, connection),
      (error: unknown) => callback(error, undefined as unknown as KyselyConnection),
    );
  }

  end(callback: (error: unknown) => void): void {
    // What the server says to the farewell changes nothing.
    const done = () => callback(undefined);
    if (this.#ended) done();
    else this.#pool.end(done);
    this.#ended = true;
  }

  async #acquire(): Promise<Connection> {
    if (this.#ended) throw databaseClosed();
    const raw = await this.#take();
    const known = this.#known.get(raw);
    if (known !== undefined) return known;
    const connection = new Connection(raw, this.#options, (error) => this.#note(error));
    try {
      for (const statement of SESSION_STATEMENTS) await connection.run(statement, []);
    } catch (error) {
      // Half set up, it is nobody's.
      raw.destroy();
      throw error;
    }
    this.#known.set(raw, connection);
    return connection;
  }

  #take(): Promise<PoolConnection> {
    const { promise, resolve, reject } = Promise.withResolvers<PoolConnection>();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      reject(databaseBusy("No connection to the database became free in time."));
    }, CONNECTION_WAIT_MAX_MS);
    this.#pool.getConnection((error, connection) => {
      clearTimeout(timer);
      if (error === null) {
        if (late) return connection.release();
        return resolve(connection);
      }
      reject(this.#explain(error));
    });
    return promise;
  }

  #explain(error: Error): Error {
    if (this.#ended) return databaseClosed();
    if (error.message === "Queue limit reached.") {
      return databaseBusy("Too many calls wait for the database.");
    }
    const refusal = toMysqlRefusal(error);
    this.#note(refusal.error);
    return refusal.error;
  }

  /** Undefined when the server has answered. */
  #note(error: Error | undefined): void {
    const { onProblem, onRecovered } = this.#options;
    const failing = error !== undefined;
    if (failing === this.#failing || this.#ended) return;
    this.#failing = failing;
    if (failing) onProblem?.(error);
    else onRecovered?.();
  }
}

type Result = Parameters<NonNullable<Parameters<KyselyConnection["query"]>[2]>>[1];

class Connection implements KyselyConnection {
  readonly #raw: PoolConnection;
  readonly #options: MysqlPoolOptions;
  readonly #note: (error: Error | undefined) => void;
  #lost: Error | undefined;

  constructor(
    raw: PoolConnection,
    options: MysqlPoolOptions,
    note: (error: Error | undefined) => void,
  ) {
    this.#raw = raw;
    this.#options = options;
    this.#note = note;
    // Without a listener, a connection that breaks while it is idle would end the process. The pool forgets it.
    raw.on("error", () => undefined);
  }

  get config(): object {
    return this.#raw.config;
  }

  get threadId(): number {
    return this.#raw.threadId;
  }

  connect(callback?: (error: unknown) => void): void {
    callback?.(undefined);
  }

  destroy(): void {
    this.#raw.destroy();
  }

  release(): void {
    this.#raw.release();
  }

  query: KyselyConnection["query"] = (sql, parameters, callback) => {
    this.run(sql, parameters).then(
      (result) => callback?.(undefined, result),
      (error: unknown) => callback?.(error, []),
    );
    return {
      stream: () => {
        throw new Error("results are not streamed; read in pages");
      },
    };
  };

  async run(sql: string, parameters: readonly unknown[]): Promise<Result> {
    if (this.#lost !== undefined) return this.#runLost(sql, this.#lost);
    const { statementTimeoutMs: timeout, ignored } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.#raw.query({ sql, values: [...parameters], timeout }, (error, result) => {
      if (error === null) {
        this.#note(undefined);
        return resolve(toResult(result));
      }
      const refusal = toMysqlRefusal(error);
      if (refusal.error instanceof MysqlError && ignored?.has(refusal.error.errno) === true) {
        return resolve([]);
      }
      if (refusal.lost) this.#giveUp(error, refusal.error);
      reject(refusal.error);
    });
    return await promise;
  }

  /** The server has rolled back by itself; what came before is what the caller has to know. */
  #runLost(sql: string, error: Error): Result {
    if (sql === "rollback") return [];
    throw error;
  }

  /** Its socket is closed, so the server ends what this connection had begun. */
  #giveUp(cause: QueryError, error: Error): void {
    this.#lost = error;
    this.#raw.destroy();
    // One connection that was lost says nothing about the server; the next attempt to connect does.
    if (isTimeout(cause)) this.#note(error);
  }
}

/** Bytes as SQLite gives them. The driver's are views into what it read, and are copied out of there. */
function toResult(result: unknown): Result {
  if (!Array.isArray(result)) return result as Result;
  for (const row of result) {
    for (const [name, value] of Object.entries(row)) {
      if (value instanceof Uint8Array) row[name] = new Uint8Array(value);
    }
  }
  return result;
}

function trusting(tlsCaFile: string) {
  try {
    return { ca: readFileSync(tlsCaFile), verifyIdentity: true, minVersion: "TLSv1.2" };
  } catch (cause) {
    const variable = "PARLEY_MYSQL_TLS_CA_FILE";
    const text = `${variable} names ${tlsCaFile}, which cannot be read.`;
    throw new SettingError(variable, text, cause);
  }
}
