/** The migrations in their one order. A released migration never changes; a change is a new one behind it. */
import type { Migration } from "kysely/migration";
import * as accounts from "./0001-accounts.ts";
import * as conversations from "./0002-conversations.ts";

export const migrations: Readonly<Record<string, Migration>> = {
  "0001-accounts": accounts,
  "0002-conversations": conversations,
};
