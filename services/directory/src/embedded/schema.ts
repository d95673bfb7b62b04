/** Every table of the directory's database. */
import type { AccountTables } from "./account-schema.ts";
import type { ConversationTables } from "./conversation-schema.ts";

export type Database = AccountTables & ConversationTables;
