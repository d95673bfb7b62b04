/**
 * Kysely on one SQLite connection in a thread.
 *
 * SQLite has one transaction per connection, so transactions come one after the other. What Kysely calls a
 * connection is only a name here: statements outside of transactions go to the thread at once, and wait only
 * while somebody's transaction is open, because they would otherwise run inside of it.
 */
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type TransactionSettings,
} from "kysely";
import type { SqliteClient } from "./sqlite-client.ts";
import type { SqliteValue } from "./sqlite-protocol.ts";

/** Creates the dialect on an open client; destroying the Kysely instance closes the client. */
export function createSqliteThreadDialect(client: SqliteClient): Dialect {
  return {
    createAdapter: () => new ThreadAdapter(),
    createDriver: () => new ThreadDriver(client),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

class ThreadAdapter extends SqliteAdapter {
  /** SQLite rolls schema changes back like any other; so a migration that fails leaves nothing behind. */
  override get supportsTransactionalDdl(): boolean {
    return true;
  }

  /** Kysely would hand the connection to one query at a time; here many can be on their way. */
  override get supportsMultipleConnections(): boolean {
    return true;
  }
}

/** Who may use the connection: anybody, or the one whose transaction is open. */
class Turn {
  #owner: object | undefined;
  #given = Promise.withResolvers<void>();

  mayRun(connection: object): boolean {
    return this.#owner === undefined || this.#owner === connection;
  }

  /** Resolves at the end of the present transaction. Another one may have begun since: ask `mayRun` again. */
  get given(): Promise<void> {
    return this.#given.promise;
  }

  async take(connection: object): Promise<void> {
    while (!this.mayRun(connection)) await this.given;
    this.#owner = connection;
  }

  give(connection: object): void {
    if (this.#owner !== connection) return;
    this.#owner = undefined;
    this.#given.resolve();
    this.#given = Promise.withResolvers();
  }
}

class ThreadDriver implements Driver {
  readonly #client: SqliteClient;
  readonly #turn = new Turn();

  constructor(client: SqliteClient) {
    this.#client = client;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return new ThreadConnection(this.#client, this.#turn);
  }

  async beginTransaction(
    connection: DatabaseConnection,
    settings: TransactionSettings,
  ): Promise<void> {
    await this.#turn.take(connection);
    // Immediate: a transaction that only later turns into a writer could fail because of another process.
    const begin = settings.accessMode === "read only" ? "begin" : "begin immediate";
    await connection.executeQuery(CompiledQuery.raw(begin));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("commit"));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("rollback"));
  }

  /** Kysely calls this at the end of every query and every transaction, whatever became of it. */
  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    this.#turn.give(connection);
  }

  async destroy(): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }
}

class ThreadConnection implements DatabaseConnection {
  readonly #client: SqliteClient;
  readonly #turn: Turn;

  constructor(client: SqliteClient, turn: Turn) {
    this.#client = client;
    this.#turn = turn;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    while (!this.#turn.mayRun(this)) await this.#turn.given;
    const { rows, changes } = await this.#client.run(
      query.sql,
      query.parameters as readonly SqliteValue[],
    );
    return {
      rows: rows as R[],
      ...(changes === undefined ? {} : { numAffectedRows: BigInt(changes) }),
    };
  }

  // biome-ignore lint/correctness/useYield: lists are paged, so nothing is ever streamed.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error("the SQLite thread does not stream; read in pages");
  }
}
