/** The directory's database on MySQL or MariaDB, for any number of instances. */
import type { MysqlConfig } from "@parley/platform/storage/engine/mysql-config";
import { Kysely, MysqlDialect } from "kysely";
import type { Database } from "../embedded/schema.ts";
import type { SqlDatabase } from "../embedded/sql-database.ts";
import { isDuplicateKey, isTransient } from "./mysql-errors.ts";
import { checkMysqlSchema } from "./mysql-migrations.ts";
import { explainOpen } from "./mysql-open-error.ts";
import { createMysqlPool } from "./mysql-pool.ts";

export type MysqlDatabaseOptions = {
  /** Called when the server cannot be reached or stops to answer; it is tried again by every call. Must not throw. */
  readonly onProblem?: (error: Error) => void;
  /** Called when it answers again. Must not throw. */
  readonly onRecovered?: () => void;
  /** One statement, its wait for locks included, in ms. */
  readonly statementTimeoutMs?: number;
};

/** Statements look rows up by keys; one that takes longer waits for a server that hangs. */
const STATEMENT_TIMEOUT_MS = 8000;

/**
 * Connects, and looks whether the tables are this version's. Rejects with a MysqlSchemaError when they are older
 * or newer, with a SettingError when the server does not let the user in or a file cannot be read, and with
 * UNAVAILABLE when the server cannot be reached.
 *
 * Statements reject with UNAVAILABLE / DATABASE_UNAVAILABLE when the connection was lost or did not answer (what
 * became of them is not known), with DATABASE_BUSY when they were not carried out for other calls' sake, and
 * with DATABASE_CLOSED. Connections are made again by themselves.
 */
export async function openMysqlDatabase(
  config: MysqlConfig,
  options: MysqlDatabaseOptions = {},
): Promise<SqlDatabase<Database> & AsyncDisposable> {
  const { database, connectionsMax } = config;
  const { statementTimeoutMs = STATEMENT_TIMEOUT_MS, onProblem, onRecovered } = options;
  const pool = createMysqlPool(config, {
    ...{ database, connectionsMax, statementTimeoutMs, onProblem, onRecovered },
  });
  const db = new Kysely<Database>({ dialect: new MysqlDialect({ pool }) });
  try {
    await checkMysqlSchema(db, database);
  } catch (error) {
    await db.destroy();
    throw explainOpen(error, config);
  }
  return {
    db,
    locking: "row",
    isDuplicateKey,
    isTransient,
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}
