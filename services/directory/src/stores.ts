/** The directory's database on one technology: this process's disk, or MySQL. */
import type { Health } from "@parley/platform/health";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { DirectoryConfig } from "./config.ts";
import type { Database } from "./embedded/schema.ts";
import type { SqlDatabase } from "./embedded/sql-database.ts";
import { openSqliteDatabase } from "./embedded/sqlite-database.ts";
import { openMysqlDatabase } from "./engine/mysql-database.ts";

type Parts = { readonly log: Logger; readonly health: Health | undefined };

/** Opens it. Rejects when it cannot be had; the error says what to do. */
export function openDatabase(
  { mysql, databasePath }: Pick<DirectoryConfig, "mysql" | "databasePath">,
  parts: Parts,
): Promise<SqlDatabase<Database> & AsyncDisposable> {
  if (mysql !== undefined) return openMysqlDatabase(mysql, reports(parts));
  return openSqliteDatabase({ path: databasePath });
}

const COMPONENT = "mysql";

/** Says in the log and in the component's health that MySQL cannot be reached, and when it can be again. */
function reports({ log, health }: Parts) {
  return {
    onProblem(error: unknown) {
      const text = "MySQL cannot be reached.";
      health?.set(COMPONENT, false, text);
      log.error({ error }, `${text} Calls are refused until it can be.`);
    },
    onRecovered() {
      health?.set(COMPONENT, true);
      log.info({ component: COMPONENT }, "It works again.");
    },
  };
}
