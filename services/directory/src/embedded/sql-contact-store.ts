/** Contacts in SQL, through Kysely: the same queries on SQLite and MySQL. */
import assert from "node:assert/strict";
import type { Kysely } from "kysely";
import type { ContactEntry, ContactPlace, ContactStore } from "../contact-ports.ts";
import type { Database } from "./schema.ts";
import { type AccountDatabase, lockUser, toAccount } from "./sql-account-rows.ts";
import { createSqlBlockStore } from "./sql-block-store.ts";
import { withTransaction } from "./sql-database.ts";

/** Creates the store on a database whose migrations have run. */
export function createSqlContactStore(database: AccountDatabase): ContactStore {
  const { db } = database;
  return {
    ...createSqlBlockStore(database),
    addContact: (userId, contactUserId, options) =>
      addContact(database, userId, contactUserId, options),
    async removeContact(userId, contactUserId) {
      await db
        .deleteFrom("contacts")
        .where("user_id", "=", userId)
        .where("contact_user_id", "=", contactUserId)
        .execute();
    },
    listContacts: (userId, page) => listContacts(db, userId, page),
    async filterMutualContacts(userId, userIds) {
      if (userIds.length === 0) return [];
      const rows = await db
        .selectFrom("contacts as own")
        .innerJoin("contacts as theirs", (join) =>
          join
            .onRef("theirs.user_id", "=", "own.contact_user_id")
            .onRef("theirs.contact_user_id", "=", "own.user_id"),
        )
        .select("own.contact_user_id as user_id")
        .where("own.user_id", "=", userId)
        .where("own.contact_user_id", "in", [...new Set(userIds)])
        .execute();
      return rows.map((row) => row.user_id);
    },
  };
}

function addContact(
  database: AccountDatabase,
  userId: string,
  contactUserId: string,
  options: { readonly contactsMax: number; readonly nowMs: number },
): ReturnType<ContactStore["addContact"]> {
  return withTransaction(database, async (trx) => {
    await lockUser(trx, database.locking, userId);
    const added = (contact: ContactEntry) => ({ kind: "added" as const, contact });
    const known = await readContact(trx, userId, contactUserId);
    if (known !== undefined) return added(known);
    const blocked = await trx
      .selectFrom("blocks")
      .select("blocked_user_id")
      .where("user_id", "=", userId)
      .where("blocked_user_id", "=", contactUserId)
      .executeTakeFirst();
    if (blocked !== undefined) return { kind: "blocked" as const };
    const { count } = await trx
      .selectFrom("contacts")
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .where("user_id", "=", userId)
      .executeTakeFirstOrThrow();
    if (Number(count) >= options.contactsMax) return { kind: "contact-limit" as const };
    const person = await trx
      .selectFrom("users")
      .select("user_id")
      .where("user_id", "=", contactUserId)
      .executeTakeFirst();
    if (person === undefined) return { kind: "user-not-found" as const };
    await trx
      .insertInto("contacts")
      .values({ user_id: userId, contact_user_id: contactUserId, create_time_ms: options.nowMs })
      .execute();
    const contact = await readContact(trx, userId, contactUserId);
    assert.ok(contact !== undefined, "a contact that was written is there");
    return added(contact);
  });
}

function selectContacts(db: Kysely<Database>, userId: string) {
  return db
    .selectFrom("contacts")
    .innerJoin("users", "users.user_id", "contacts.contact_user_id")
    .leftJoin("contacts as theirs", (join) =>
      join
        .onRef("theirs.user_id", "=", "contacts.contact_user_id")
        .onRef("theirs.contact_user_id", "=", "contacts.user_id"),
    )
    .selectAll("users")
    .select(["contacts.create_time_ms as contact_time_ms", "theirs.user_id as mutual_user_id"])
    .where("contacts.user_id", "=", userId);
}

type ContactRow = Awaited<ReturnType<ReturnType<typeof selectContacts>["execute"]>>[number];

function toContact(row: ContactRow): ContactEntry {
  return {
    account: toAccount(row),
    mutual: row.mutual_user_id !== null,
    createTimeMs: row.contact_time_ms,
  };
}

async function readContact(
  db: Kysely<Database>,
  userId: string,
  contactUserId: string,
): Promise<ContactEntry | undefined> {
  const row = await selectContacts(db, userId)
    .where("contacts.contact_user_id", "=", contactUserId)
    .executeTakeFirst();
  return row === undefined ? undefined : toContact(row);
}

async function listContacts(
  db: Kysely<Database>,
  userId: string,
  page: { readonly after: ContactPlace | undefined; readonly limit: number },
) {
  const { after } = page;
  let query = selectContacts(db, userId);
  if (after !== undefined) {
    query = query.where(({ and, eb, or }) =>
      or([
        eb("users.display_name_folded", ">", after.name),
        and([
          eb("users.display_name_folded", "=", after.name),
          eb("users.user_id", ">", after.userId),
        ]),
      ]),
    );
  }
  const rows = await query
    .orderBy("users.display_name_folded")
    .orderBy("users.user_id")
    .limit(page.limit)
    .execute();
  return rows.map((row) => ({
    ...toContact(row),
    place: { name: row.display_name_folded, userId: row.user_id },
  }));
}
