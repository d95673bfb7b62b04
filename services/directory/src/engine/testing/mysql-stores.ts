/** The stores on MySQL, as the contract suites and the tests of several instances use them. */
import type { MysqlConfig } from "@parley/platform/storage/engine/mysql-config";
import {
  createSqlAccountStore,
  createSqlServerKeyStore,
} from "../../embedded/sql-account-store.ts";
import { createSqlBlockOutbox, createSqlPeople } from "../../embedded/sql-block-store.ts";
import { createSqlContactStore } from "../../embedded/sql-contact-store.ts";
import { createSqlConversationStore } from "../../embedded/sql-conversation-store.ts";
import { createSqlDeviceStore } from "../../embedded/sql-device-store.ts";
import { createSqlInviteStore } from "../../embedded/sql-invite-store.ts";
import { createSqlOutboxStore } from "../../embedded/sql-outbox-store.ts";
import type { AccountStores } from "../../testing/account-stores.ts";
import type { ConversationStores } from "../../testing/conversation-stores.ts";
import { type MysqlDatabaseOptions, openMysqlDatabase } from "../mysql-database.ts";
import { createMigratedMysql } from "./test-mysql.ts";

export type MysqlStores = AccountStores &
  ConversationStores & {
    readonly database: Awaited<ReturnType<typeof openMysqlDatabase>>;
  };

/** What one instance has open. Disposing closes its connections and leaves the database. */
export async function openMysqlStores(
  config: MysqlConfig,
  options: MysqlDatabaseOptions = {},
): Promise<MysqlStores> {
  const database = await openMysqlDatabase(config, options);
  return {
    database,
    accounts: createSqlAccountStore(database),
    devices: createSqlDeviceStore(database),
    keys: createSqlServerKeyStore(database),
    contacts: createSqlContactStore(database),
    blocks: createSqlBlockOutbox(database),
    people: createSqlPeople(database),
    conversations: createSqlConversationStore(database),
    invites: createSqlInviteStore(database),
    outbox: createSqlOutboxStore(database),
    async block(blockerUserId, blockedUserId) {
      const row = { user_id: blockerUserId, blocked_user_id: blockedUserId, create_time_ms: 0 };
      await database.db.insertInto("blocks").values(row).execute();
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

/** One instance on a database of its own, which is dropped with it. */
export async function openFreshMysqlStores(): Promise<MysqlStores> {
  const mysql = await createMigratedMysql();
  const stores = await openMysqlStores(mysql.config);
  return {
    ...stores,
    async [Symbol.asyncDispose]() {
      await stores[Symbol.asyncDispose]();
      await mysql[Symbol.asyncDispose]();
    },
  };
}
