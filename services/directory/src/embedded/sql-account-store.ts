/** Accounts in SQL, through Kysely: the same queries on SQLite and MySQL. */
import type {
  AccountStore,
  ExternalSubject,
  NewAccount,
  PrivacyStore,
  ServerKeyStore,
} from "../account-ports.ts";
import { type Account, foldForSearch } from "../domain/account.ts";
import {
  type AccountDatabase,
  fromAccount,
  insertDevice,
  lockUser,
  revokeDevices,
  toAccount,
} from "./sql-account-rows.ts";
import { searchAccounts } from "./sql-account-search.ts";
import { withTransaction } from "./sql-database.ts";

/** Creates the store on a database whose migrations have run. */
export function createSqlAccountStore(database: AccountDatabase): AccountStore & PrivacyStore {
  const { db } = database;
  return {
    createAccount: (account) => createAccount(database, account),
    async findByUsername(username) {
      const row = await db
        .selectFrom("users")
        .selectAll()
        .where("username", "=", username)
        .executeTakeFirst();
      if (row === undefined) return undefined;
      return { account: toAccount(row), passwordHash: row.password_hash ?? undefined };
    },
    findBySubject: (subject) => findBySubject(database, subject),
    async readPasswordHash(userId) {
      const row = await db
        .selectFrom("users")
        .select("password_hash")
        .where("user_id", "=", userId)
        .executeTakeFirst();
      return row?.password_hash ?? undefined;
    },
    readAccounts: (userIds) => readAccounts(database, userIds),
    async updateProfile(userId, { displayName, about }) {
      const changed = {
        ...(about === undefined ? {} : { about }),
        ...(displayName === undefined
          ? {}
          : { display_name: displayName, display_name_folded: foldForSearch(displayName) }),
      };
      if (Object.keys(changed).length > 0) {
        await db.updateTable("users").set(changed).where("user_id", "=", userId).execute();
      }
      return (await readAccounts(database, [userId]))[0];
    },
    async updatePrivacy(userId, privacy) {
      await db
        .updateTable("users")
        .set({
          presence_visibility: privacy.presenceVisibility,
          send_read_receipts: privacy.sendReadReceipts ? 1 : 0,
          searchable: privacy.searchable ? 1 : 0,
        })
        .where("user_id", "=", userId)
        .execute();
      // MySQL counts only rows whose value changed: a repetition is told from a stranger by looking.
      return (await readAccounts(database, [userId])).length > 0;
    },
    changePassword: (change) => changePassword(database, change),
    async renewPasswordHash({ userId, expectedHash, newHash }) {
      const { numUpdatedRows } = await db
        .updateTable("users")
        .set({ password_hash: newHash })
        .where("user_id", "=", userId)
        .where("password_hash", "=", expectedHash)
        .executeTakeFirst();
      return numUpdatedRows > 0n;
    },
    searchAccounts: (query) => searchAccounts(database, query),
    async readVisibilities(userIds) {
      if (userIds.length === 0) return new Map();
      const rows = await db
        .selectFrom("users")
        .select(["user_id", "presence_visibility"])
        .where("user_id", "in", [...new Set(userIds)])
        .execute();
      return new Map(rows.map((row) => [row.user_id, row.presence_visibility]));
    },
    async filterHidingReceipts(userIds) {
      if (userIds.length === 0) return [];
      const rows = await db
        .selectFrom("users")
        .select("user_id")
        .where("user_id", "in", [...new Set(userIds)])
        .where("send_read_receipts", "=", 0)
        .execute();
      return rows.map((row) => row.user_id);
    },
  };
}

/** Creates the store of the server's own secrets on a database whose migrations have run. */
export function createSqlServerKeyStore(database: AccountDatabase): ServerKeyStore {
  const { db } = database;
  const read = async (name: string) => {
    const query = db.selectFrom("server_keys").select("value").where("name", "=", name);
    return (await query.executeTakeFirst())?.value;
  };
  return {
    async readOrCreate(name, proposed, nowMs) {
      const known = await read(name);
      if (known !== undefined) return known;
      try {
        await db
          .insertInto("server_keys")
          .values({ name, value: proposed, create_time_ms: nowMs })
          .execute();
        return proposed;
      } catch (error) {
        if (!database.isDuplicateKey(error)) throw error;
        return (await read(name)) ?? Promise.reject(error);
      }
    },
    async list(prefix) {
      const rows = await db
        .selectFrom("server_keys")
        .selectAll()
        .where("name", "like", `${prefix}%`)
        .execute();
      return rows.map((row) => ({
        name: row.name,
        value: row.value,
        createTimeMs: row.create_time_ms,
      }));
    },
    async delete(names) {
      if (names.length === 0) return;
      await db
        .deleteFrom("server_keys")
        .where("name", "in", [...names])
        .execute();
    },
  };
}

async function createAccount(
  database: AccountDatabase,
  created: NewAccount,
): ReturnType<AccountStore["createAccount"]> {
  const { account, passwordHash, externalSubject, first } = created;
  try {
    await withTransaction(database, async (trx) => {
      // The unique keys decide between two calls at once: the second one waits here, and then fails.
      await trx.insertInto("users").values(fromAccount(account, passwordHash)).execute();
      if (externalSubject !== undefined) {
        await trx
          .insertInto("external_subjects")
          .values({ ...externalSubject, user_id: account.userId })
          .execute();
      }
      await insertDevice(trx, first);
    });
    return { kind: "created" };
  } catch (error) {
    if (!database.isDuplicateKey(error)) throw error;
    if (externalSubject === undefined) return { kind: "username-taken" };
    const known = await findBySubject(database, externalSubject);
    return { kind: known === undefined ? "username-taken" : "subject-taken" };
  }
}

async function findBySubject(
  { db }: AccountDatabase,
  { issuer, subject }: ExternalSubject,
): Promise<Account | undefined> {
  const row = await db
    .selectFrom("external_subjects")
    .innerJoin("users", "users.user_id", "external_subjects.user_id")
    .selectAll("users")
    .where("issuer", "=", issuer)
    .where("subject", "=", subject)
    .executeTakeFirst();
  return row === undefined ? undefined : toAccount(row);
}

async function readAccounts(
  { db }: AccountDatabase,
  userIds: readonly string[],
): Promise<readonly Account[]> {
  if (userIds.length === 0) return [];
  const rows = await db
    .selectFrom("users")
    .selectAll()
    .where("user_id", "in", [...new Set(userIds)])
    .execute();
  return rows.map(toAccount);
}

function changePassword(
  database: AccountDatabase,
  change: Parameters<AccountStore["changePassword"]>[0],
): ReturnType<AccountStore["changePassword"]> {
  const { userId, deviceId, expectedHash, newHash, nowMs } = change;
  return withTransaction(database, async (trx) => {
    const user = await lockUser(trx, database.locking, userId);
    if (user?.password_hash !== expectedHash) return { kind: "password-changed" as const };
    const devices = await trx
      .selectFrom("devices")
      .select("device_id")
      .where("user_id", "=", userId)
      .where("revoke_time_ms", "is", null)
      // A sign-out at the same time holds only its device's lock, and would write into the outbox too.
      .$if(database.locking === "row", (query) => query.forUpdate())
      .execute();
    const deviceIds = devices.map((device) => device.device_id);
    if (!deviceIds.includes(deviceId)) return { kind: "device-revoked" as const };
    const revokedDeviceIds = deviceIds.filter((id) => id !== deviceId);
    await trx
      .updateTable("users")
      .set({ password_hash: newHash })
      .where("user_id", "=", userId)
      .execute();
    await revokeDevices(trx, userId, revokedDeviceIds, nowMs);
    return { kind: "changed" as const, revokedDeviceIds };
  });
}
