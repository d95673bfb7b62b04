/** Rows of the account tables as the domain's types, and back. */

import type { Transaction } from "kysely";
import type { NewDevice } from "../account-ports.ts";
import { type Account, type Device, foldForSearch } from "../domain/account.ts";
import type { StoredToken } from "../domain/rotation.ts";
import type { DeviceRow, RefreshTokenRow, UserRow } from "./account-schema.ts";
import type { Database } from "./schema.ts";
import type { SqlDatabase } from "./sql-database.ts";

export type AccountDatabase = SqlDatabase<Database>;

export function toAccount(row: UserRow): Account {
  return {
    userId: row.user_id,
    username: row.username,
    displayName: row.display_name,
    about: row.about,
    createTimeMs: row.create_time_ms,
    privacy: {
      presenceVisibility: row.presence_visibility,
      sendReadReceipts: row.send_read_receipts === 1,
      searchable: row.searchable === 1,
    },
  };
}

export function fromAccount(account: Account, passwordHash: string | undefined): UserRow {
  const { privacy } = account;
  return {
    user_id: account.userId,
    username: account.username,
    display_name: account.displayName,
    display_name_folded: foldForSearch(account.displayName),
    about: account.about,
    password_hash: passwordHash ?? null,
    presence_visibility: privacy.presenceVisibility,
    send_read_receipts: privacy.sendReadReceipts ? 1 : 0,
    searchable: privacy.searchable ? 1 : 0,
    create_time_ms: account.createTimeMs,
  };
}

export function toDevice(row: DeviceRow): Device {
  return {
    deviceId: row.device_id,
    userId: row.user_id,
    name: row.name,
    platform: row.platform,
    createTimeMs: row.create_time_ms,
    lastRefreshTimeMs: row.last_refresh_time_ms,
  };
}

export function toStoredToken(row: RefreshTokenRow): StoredToken {
  return {
    generation: row.generation,
    tokenHash: row.token_hash,
    issueTimeMs: row.issue_time_ms,
    expireTimeMs: row.expire_time_ms,
    rotateTimeMs: row.rotate_time_ms ?? undefined,
  };
}

export function fromStoredToken(deviceId: string, token: StoredToken): RefreshTokenRow {
  return {
    device_id: deviceId,
    generation: token.generation,
    token_hash: token.tokenHash,
    issue_time_ms: token.issueTimeMs,
    expire_time_ms: token.expireTimeMs,
    rotate_time_ms: token.rotateTimeMs ?? null,
  };
}

/** Writes a device that signs in, with its first token. */
export async function insertDevice(
  trx: Transaction<Database>,
  { device, token }: NewDevice,
): Promise<void> {
  const row: DeviceRow = {
    device_id: device.deviceId,
    user_id: device.userId,
    name: device.name,
    platform: device.platform,
    create_time_ms: device.createTimeMs,
    last_refresh_time_ms: device.lastRefreshTimeMs,
    expire_time_ms: token.expireTimeMs,
    revoke_time_ms: null,
    generation: token.generation,
  };
  await trx.insertInto("devices").values(row).execute();
  await trx.insertInto("refresh_tokens").values(fromStoredToken(device.deviceId, token)).execute();
}

/** Takes a person's lock until the transaction ends, and reads them. */
export function lockUser(
  trx: Transaction<Database>,
  locking: AccountDatabase["locking"],
  userId: string,
): Promise<UserRow | undefined> {
  return trx
    .selectFrom("users")
    .selectAll()
    .where("user_id", "=", userId)
    .$if(locking === "row", (query) => query.forUpdate())
    .executeTakeFirst();
}

/** Signs devices out and writes that their sessions are to be ended. They were signed in until now. */
export async function revokeDevices(
  trx: Transaction<Database>,
  userId: string,
  deviceIds: readonly string[],
  nowMs: number,
): Promise<void> {
  if (deviceIds.length === 0) return;
  await trx
    .updateTable("devices")
    .set({ revoke_time_ms: nowMs })
    .where("device_id", "in", deviceIds)
    .execute();
  await trx.deleteFrom("refresh_tokens").where("device_id", "in", deviceIds).execute();
  await trx
    .insertInto("revocation_outbox")
    .values(
      deviceIds.map((deviceId) => ({
        device_id: deviceId,
        user_id: userId,
        create_time_ms: nowMs,
      })),
    )
    .execute();
}
