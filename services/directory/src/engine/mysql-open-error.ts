/** Why MySQL cannot be used from the start on, for the operator. */
import { SettingError } from "@parley/platform/config";
import type { MysqlConfig } from "@parley/platform/storage/engine/mysql-config";
import { isAccessDenied } from "./mysql-errors.ts";

/** A user who is not let in is the operator's to mend; anything else stays what it is. */
export function explainOpen(error: unknown, { username, database }: MysqlConfig): unknown {
  if (!isAccessDenied(error)) return error;
  return new SettingError(
    "PARLEY_MYSQL_URL",
    `MySQL does not let ${username} of PARLEY_MYSQL_URL, with PARLEY_MYSQL_PASSWORD, use the database ${database}.`,
    error,
  );
}
