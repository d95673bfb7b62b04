/** The directory's database as one SQLite file. */
import { Kysely } from "kysely";
import { migrateToLatest } from "./migrate.ts";
import type { Database } from "./schema.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { openSqliteClient } from "./sqlite-client.ts";
import { createSqliteThreadDialect } from "./sqlite-dialect.ts";
import { SqliteError } from "./sqlite-protocol.ts";

/** Extended result codes (https://sqlite.org/rescode.html). */
const CONSTRAINT_PRIMARYKEY = 1555;
const CONSTRAINT_UNIQUE = 2067;
/** The primary code of "another process holds the file"; the extended codes share its low byte. */
const BUSY = 5;

/**
 * Opens the file, creating it and its folder if missing, and brings its schema up to date. The connection
 * lives in a thread of its own; a write is on disk when its promise resolves.
 */
export async function openSqliteDatabase(options: {
  readonly path: string;
}): Promise<SqlDatabase<Database> & AsyncDisposable> {
  const client = await openSqliteClient(options.path);
  const db = new Kysely<Database>({ dialect: createSqliteThreadDialect(client) });
  try {
    await migrateToLatest(db);
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
  return {
    db,
    locking: "writer",
    isDuplicateKey: (error) =>
      error instanceof SqliteError &&
      (error.errorCode === CONSTRAINT_PRIMARYKEY || error.errorCode === CONSTRAINT_UNIQUE),
    isTransient: (error) => error instanceof SqliteError && (error.errorCode & 0xff) === BUSY,
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}
