import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeAccountStores } from "../account-ports.contract.ts";
import { describeContactStores } from "../contact-ports.contract.ts";
import type { AccountStores } from "../testing/account-stores.ts";
import { createSqlAccountStore, createSqlServerKeyStore } from "./sql-account-store.ts";
import { createSqlBlockOutbox, createSqlPeople } from "./sql-block-store.ts";
import { createSqlContactStore } from "./sql-contact-store.ts";
import { createSqlDeviceStore } from "./sql-device-store.ts";
import { openSqliteDatabase } from "./sqlite-database.ts";

async function open(): Promise<AccountStores> {
  const directory = await mkdtemp(join(tmpdir(), "parley-directory-"));
  const database = await openSqliteDatabase({ path: join(directory, "directory.sqlite") });
  return {
    accounts: createSqlAccountStore(database),
    devices: createSqlDeviceStore(database),
    keys: createSqlServerKeyStore(database),
    contacts: createSqlContactStore(database),
    blocks: createSqlBlockOutbox(database),
    people: createSqlPeople(database),
    async [Symbol.asyncDispose]() {
      await database[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

describeAccountStores("SQLite", open);
describeContactStores("SQLite", open);
