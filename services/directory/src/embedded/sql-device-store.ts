/** Devices, refresh tokens and the outbox of revocations in SQL: the same queries on SQLite and MySQL. */
import type { Transaction } from "kysely";
import type { DeviceStore, NewDevice, RevocationOutbox } from "../account-ports.ts";
import {
  ROTATION_GRACE_MS,
  type RotationDecision,
  type RotationSnapshot,
  type StoredToken,
} from "../domain/rotation.ts";
import type { Database } from "./schema.ts";
import {
  type AccountDatabase,
  fromStoredToken,
  insertDevice,
  lockUser,
  revokeDevices,
  toDevice,
  toStoredToken,
} from "./sql-account-rows.ts";
import { withTransaction } from "./sql-database.ts";

/** How long a device is remembered after its end, in ms; it bounds what signing in and out again leaves. */
const ENDED_DEVICE_KEPT_MS = 90 * 24 * 60 * 60 * 1000;

/** Creates the store on a database whose migrations have run. */
export function createSqlDeviceStore(database: AccountDatabase): DeviceStore & RevocationOutbox {
  const { db } = database;
  return {
    addDevice: (added, conditions) => addDevice(database, added, conditions),
    async listDevices(userId, nowMs) {
      const rows = await db
        .selectFrom("devices")
        .selectAll()
        .where("user_id", "=", userId)
        .where("revoke_time_ms", "is", null)
        .where("expire_time_ms", ">", nowMs)
        .orderBy("create_time_ms", "desc")
        .orderBy("device_id")
        .execute();
      return rows.map(toDevice);
    },
    revokeDevice: (userId, deviceId, nowMs) =>
      withTransaction(database, async (trx) => {
        const row = await lockDevice(trx, database, deviceId);
        if (row?.user_id !== userId) return false;
        if (row.revoke_time_ms === null) await revokeDevices(trx, userId, [deviceId], nowMs);
        return true;
      }),
    async filterRevoked(deviceIds, nowMs) {
      const asked = [...new Set(deviceIds)];
      if (asked.length === 0) return [];
      const rows = await db
        .selectFrom("devices")
        .select("device_id")
        .where("device_id", "in", asked)
        .where("revoke_time_ms", "is", null)
        .where("expire_time_ms", ">", nowMs)
        .execute();
      const signedIn = new Set(rows.map((row) => row.device_id));
      return asked.filter((deviceId) => !signedIn.has(deviceId));
    },
    rotateToken: (deviceId, nowMs, decide) => rotateToken(database, deviceId, nowMs, decide),
    async listRevocations(limit) {
      const rows = await db
        .selectFrom("revocation_outbox")
        .select(["user_id", "device_id"])
        .orderBy("create_time_ms")
        .orderBy("device_id")
        .limit(limit)
        .execute();
      return rows.map((row) => ({ userId: row.user_id, deviceId: row.device_id }));
    },
    async deleteRevocations(deviceIds) {
      if (deviceIds.length === 0) return;
      await db.deleteFrom("revocation_outbox").where("device_id", "in", deviceIds).execute();
    },
  };
}

function lockDevice(trx: Transaction<Database>, { locking }: AccountDatabase, deviceId: string) {
  return trx
    .selectFrom("devices")
    .selectAll()
    .where("device_id", "=", deviceId)
    .$if(locking === "row", (query) => query.forUpdate())
    .executeTakeFirst();
}

function addDevice(
  database: AccountDatabase,
  added: NewDevice,
  conditions: { readonly devicesMax: number; readonly expectedHash: string | undefined },
): ReturnType<DeviceStore["addDevice"]> {
  const { userId, createTimeMs } = added.device;
  return withTransaction(database, async (trx) => {
    const user = await lockUser(trx, database.locking, userId);
    const { expectedHash } = conditions;
    if (expectedHash !== undefined && user?.password_hash !== expectedHash) {
      return { kind: "password-changed" as const };
    }
    await forgetEndedDevices(trx, userId, createTimeMs - ENDED_DEVICE_KEPT_MS);
    const { count } = await trx
      .selectFrom("devices")
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .where("user_id", "=", userId)
      .where("revoke_time_ms", "is", null)
      .where("expire_time_ms", ">", createTimeMs)
      .executeTakeFirstOrThrow();
    if (Number(count) >= conditions.devicesMax) return { kind: "device-limit" as const };
    await insertDevice(trx, added);
    return { kind: "added" as const };
  });
}

/** A token outlives nothing: a device that was revoked has none, one that expired has its last ones. */
async function forgetEndedDevices(
  trx: Transaction<Database>,
  userId: string,
  expiredBeforeMs: number,
): Promise<void> {
  const ended = await trx
    .selectFrom("devices")
    .select("device_id")
    .where("user_id", "=", userId)
    .where("expire_time_ms", "<", expiredBeforeMs)
    .execute();
  if (ended.length === 0) return;
  const deviceIds = ended.map((device) => device.device_id);
  await trx.deleteFrom("refresh_tokens").where("device_id", "in", deviceIds).execute();
  await trx.deleteFrom("devices").where("device_id", "in", deviceIds).execute();
}

function rotateToken(
  database: AccountDatabase,
  deviceId: string,
  nowMs: number,
  decide: (snapshot: RotationSnapshot | undefined) => RotationDecision,
): ReturnType<DeviceStore["rotateToken"]> {
  return withTransaction(database, async (trx) => {
    const row = await lockDevice(trx, database, deviceId);
    if (row === undefined) return { userId: "", decision: decide(undefined) };
    const tokens = await trx
      .selectFrom("refresh_tokens")
      .selectAll()
      .where("device_id", "=", deviceId)
      .execute();
    const decision = decide({
      userId: row.user_id,
      revoked: row.revoke_time_ms !== null,
      generation: row.generation,
      tokens: tokens.map(toStoredToken),
    });
    if (decision.kind === "rotate") await writeRotation(trx, deviceId, decision.issued, nowMs);
    if (decision.kind === "reused") await revokeDevices(trx, row.user_id, [deviceId], nowMs);
    return { userId: row.user_id, decision };
  });
}

async function writeRotation(
  trx: Transaction<Database>,
  deviceId: string,
  issued: StoredToken,
  nowMs: number,
): Promise<void> {
  await trx
    .deleteFrom("refresh_tokens")
    .where("device_id", "=", deviceId)
    .where("rotate_time_ms", "<", nowMs - ROTATION_GRACE_MS)
    .execute();
  await trx
    .updateTable("refresh_tokens")
    .set({ rotate_time_ms: nowMs })
    .where("device_id", "=", deviceId)
    .where("generation", "=", issued.generation - 1)
    .execute();
  await trx.insertInto("refresh_tokens").values(fromStoredToken(deviceId, issued)).execute();
  await trx
    .updateTable("devices")
    .set({
      generation: issued.generation,
      last_refresh_time_ms: nowMs,
      expire_time_ms: issued.expireTimeMs,
    })
    .where("device_id", "=", deviceId)
    .execute();
}
