/** Bringing the directory's tables in MySQL to the schema that this version knows, and looking whether they are. */
import { createHash } from "node:crypto";
import type { MysqlConfig } from "@parley/platform/storage/engine/mysql-config";
import {
  CreateTableNode,
  Kysely,
  type KyselyPlugin,
  MysqlAdapter,
  MysqlDialect,
  RawNode,
  sql,
} from "kysely";
import { migrateToLatest } from "../embedded/migrate.ts";
import { migrations } from "../embedded/migrations/index.ts";
import { isRefusalOf, NO_SUCH_TABLE, UNKNOWN_DATABASE } from "./mysql-errors.ts";
import { explainOpen } from "./mysql-open-error.ts";
import { createMysqlPool } from "./mysql-pool.ts";

/** The tables are not as this version knows them. The message says what to do. */
export class MysqlSchemaError extends Error {
  override readonly name = "MysqlSchemaError";
}

/** One migrates; the look whether a table is there comes from another one. */
const CONNECTIONS_MAX = 2;
/** A change of a large table copies it. */
const STATEMENT_TIMEOUT_MS = 60 * 60 * 1000;
/** Another `parley migrate` is waited for this long. */
const LOCK_WAIT_MAX_SECONDS = 600;

/**
 * Each compares texts as SQLite does, byte by byte with spaces at the end: that of MariaDB, and that of MySQL.
 * `utf8mb4_bin` has both too, and takes "ada" and "ada " for the same.
 */
const COLLATIONS = ["utf8mb4_nopad_bin", "utf8mb4_0900_bin"];

/**
 * A table, column or index that is there already. MySQL has no transactions around changes of tables; so a
 * migration that was interrupted is run again, and makes what is missing.
 */
const EXISTS: ReadonlySet<number> = new Set([1050, 1060, 1061]);

/**
 * Creates the database if there is none, and applies the migrations that it has not seen; gives their names.
 * May be called twice, and from two places at once: one of them works and the other waits. Rejects with a
 * SettingError when the server does not let this user in, with UNAVAILABLE when it cannot be reached, and
 * with a MigrationError when a migration fails or the database was used by a newer version.
 */
export async function migrateDirectory(config: MysqlConfig): Promise<readonly string[]> {
  await createDatabase(config);
  const { database } = config;
  await using resources = new AsyncDisposableStack();
  const db = resources.use(open(config, database));
  const collation = await readCollation(db);
  const before = await readApplied(db);
  await migrateToLatest(db.withPlugin(createTableOptions(collation)));
  const after = await readApplied(db);
  return after.filter((name) => !before.includes(name));
}

/** Rejects with a MysqlSchemaError unless the tables are exactly as this version knows them. */
export async function checkMysqlSchema<Tables>(
  db: Kysely<Tables>,
  database: string,
): Promise<void> {
  const known = Object.keys(migrations);
  const applied = await readApplied(db);
  const newer = applied.filter((name) => !known.includes(name));
  if (newer.length > 0) {
    throw new MysqlSchemaError(
      `The tables in the database ${database} are of a newer version of Parley (${newer.join(", ")}). Run the ` +
        "version whose `parley migrate` was run last.",
    );
  }
  const missing = known.filter((name) => !applied.includes(name));
  if (missing.length === 0) return;
  throw new MysqlSchemaError(
    `The database ${database} does not have the tables of this version of Parley yet (${missing.join(", ")}). Run ` +
      "`parley migrate`.",
  );
}

/** The names of the migrations that were applied, in order. */
async function readApplied<Tables>(db: Kysely<Tables>): Promise<readonly string[]> {
  try {
    const { rows } = await sql<{
      name: string;
    }>`select name from kysely_migration order by name`.execute(db);
    return rows.map(({ name }) => name);
  } catch (error) {
    if (isRefusalOf(error, new Set([NO_SUCH_TABLE, UNKNOWN_DATABASE]))) return [];
    throw error;
  }
}

async function createDatabase(config: MysqlConfig): Promise<void> {
  const { database } = config;
  try {
    await using db = open(config, database);
    await sql`select 1`.execute(db);
  } catch (error) {
    if (!isRefusalOf(error, new Set([UNKNOWN_DATABASE]))) throw explainOpen(error, config);
    // Whoever made the database may have been given it without the right to make others.
    await using db = open(config, undefined);
    await sql`create database if not exists ${sql.id(database)}`.execute(db);
  }
}

function open(config: MysqlConfig, database: string | undefined): Kysely<unknown> {
  const pool = createMysqlPool(config, {
    database,
    connectionsMax: CONNECTIONS_MAX,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    ignored: EXISTS,
  });
  return new Kysely<unknown>({ dialect: new MigratingDialect({ pool }) });
}

async function readCollation(db: Kysely<unknown>): Promise<string> {
  const { rows } = await sql<{ name: string }>`
    select collation_name as name from information_schema.collations
    where collation_name in (${sql.join(COLLATIONS)})`.execute(db);
  const collation = rows[0]?.name;
  if (collation !== undefined) return collation;
  const known = COLLATIONS.join(" and ");
  throw new MysqlSchemaError(
    `The server knows none of ${known}: Parley needs MySQL 8.0.17 or MariaDB 10.6, or later.`,
  );
}

/** Says of every table how its texts compare, whatever the database's own default is. */
function createTableOptions(collation: string): KyselyPlugin {
  const options = `engine = InnoDB default character set utf8mb4 collate ${collation}`;
  return {
    transformQuery: ({ node }) =>
      CreateTableNode.is(node)
        ? CreateTableNode.cloneWithEndModifier(node, RawNode.createWithSql(options))
        : node,
    transformResult: async ({ result }) => result,
  };
}

class MigratingDialect extends MysqlDialect {
  override createAdapter(): MysqlAdapter {
    return new MigratingAdapter();
  }
}

/** Kysely's own lock is one for all databases of a server, and is not looked at. */
class MigratingAdapter extends MysqlAdapter {
  override async acquireMigrationLock(db: Kysely<unknown>): Promise<void> {
    const { rows } = await sql<{ locked: number | null }>`
      select get_lock(${await lockName(db)}, ${LOCK_WAIT_MAX_SECONDS}) as locked`.execute(db);
    if (rows[0]?.locked === 1) return;
    throw new MysqlSchemaError("Another `parley migrate` has been at work for too long.");
  }

  override async releaseMigrationLock(db: Kysely<unknown>): Promise<void> {
    await sql`select release_lock(${await lockName(db)})`.execute(db);
  }
}

/** Locks belong to the server, and their names are at most 64 characters. */
async function lockName(db: Kysely<unknown>): Promise<string> {
  const { rows } = await sql<{ name: string }>`select database() as name`.execute(db);
  const digest = createHash("sha256").update(rows[0]?.name ?? "");
  return `parley-directory-${digest.digest("hex").slice(0, 32)}`;
}
