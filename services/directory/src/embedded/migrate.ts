/** Bringing a database to the schema that this version knows. */
import type { Kysely } from "kysely";
import { Migrator } from "kysely/migration";
import { migrations } from "./migrations/index.ts";

/** The database's schema cannot be brought to this version's. */
export class MigrationError extends Error {
  override readonly name = "MigrationError";
}

/**
 * Runs the migrations that the database has not seen, in order; on SQLite all of them or none. Throws a
 * `MigrationError` when one fails, or when the database was used by a newer version.
 */
export async function migrateToLatest<Tables>(db: Kysely<Tables>): Promise<void> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => ({ ...migrations }) },
  });
  const { error, results } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const failed = results?.find((result) => result.status === "Error")?.migrationName;
  const what = failed === undefined ? "" : ` (migration ${failed})`;
  throw new MigrationError(
    `The directory's database cannot be brought to this version${what}. If a newer version has used it, start that one; otherwise restore a backup.`,
    { cause: error },
  );
}
