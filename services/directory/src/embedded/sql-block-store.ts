/** Blocks, and their outbox, in SQL: the same queries on SQLite and MySQL. */
import { newUuid } from "@parley/platform/ids";
import type { Kysely, Transaction } from "kysely";
import type { BlockOutbox, BlockPlace, ContactStore, PendingBlock } from "../contact-ports.ts";
import type { People } from "../conversation-ports.ts";
import type { Database } from "./schema.ts";
import { type AccountDatabase, lockUser, toAccount } from "./sql-account-rows.ts";
import { withTransaction } from "./sql-database.ts";

type BlockStore = Pick<ContactStore, "blockUser" | "unblockUser" | "listBlocks">;

/** Creates the blocks' part of the contact store on a database whose migrations have run. */
export function createSqlBlockStore(database: AccountDatabase): BlockStore {
  return {
    blockUser: (userId, blockedUserId, options) =>
      blockUser(database, userId, blockedUserId, options),
    unblockUser: (userId, blockedUserId) =>
      withTransaction(database, async (trx) => {
        await lockUser(trx, database.locking, userId);
        if (!(await hasBlock(trx, userId, blockedUserId))) return;
        await trx
          .deleteFrom("blocks")
          .where("user_id", "=", userId)
          .where("blocked_user_id", "=", blockedUserId)
          .execute();
        await enterPending(trx, userId, blockedUserId);
      }),
    listBlocks: (userId, page) => listBlocks(database.db, userId, page),
  };
}

/** Creates the outbox of blocks on a database whose migrations have run. */
export function createSqlBlockOutbox({ db }: Pick<AccountDatabase, "db">): BlockOutbox {
  const select = () =>
    db
      .selectFrom("block_outbox")
      .leftJoin("blocks", (join) =>
        join
          .onRef("blocks.user_id", "=", "block_outbox.blocker_user_id")
          .onRef("blocks.blocked_user_id", "=", "block_outbox.blocked_user_id"),
      )
      .select([
        "block_outbox.blocker_user_id",
        "block_outbox.blocked_user_id",
        "block_outbox.change_id",
        "blocks.user_id as standing",
      ]);
  type Row = Awaited<ReturnType<ReturnType<typeof select>["execute"]>>[number];
  const toPending = (row: Row): PendingBlock => ({
    blockerUserId: row.blocker_user_id,
    blockedUserId: row.blocked_user_id,
    blocked: row.standing !== null,
    changeId: row.change_id,
  });
  return {
    async listPendingBlocks(limit) {
      return (await select().limit(limit).execute()).map(toPending);
    },
    async readPendingBlock(blockerUserId, blockedUserId) {
      const row = await select()
        .where("block_outbox.blocker_user_id", "=", blockerUserId)
        .where("block_outbox.blocked_user_id", "=", blockedUserId)
        .executeTakeFirst();
      return row === undefined ? undefined : toPending(row);
    },
    async deletePendingBlock(block) {
      await db
        .deleteFrom("block_outbox")
        .where("blocker_user_id", "=", block.blockerUserId)
        .where("blocked_user_id", "=", block.blockedUserId)
        .where("change_id", "=", block.changeId)
        .execute();
    },
  };
}

/** Creates what the conversation half asks about people, on a database whose migrations have run. */
export function createSqlPeople({ db }: Pick<AccountDatabase, "db">): People {
  return {
    async existingUserIds(userIds) {
      if (userIds.length === 0) return new Set();
      const rows = await db
        .selectFrom("users")
        .select("user_id")
        .where("user_id", "in", [...new Set(userIds)])
        .execute();
      return new Set(rows.map((row) => row.user_id));
    },
    async blocksBetween(userId, otherUserIds) {
      if (otherUserIds.length === 0) return [];
      const others = [...new Set(otherUserIds)];
      // Two queries, because each of them is one look into the primary key; an `or` of both is a scan.
      const [own, theirs] = await Promise.all([
        selectBlocks(db)
          .where("user_id", "=", userId)
          .where("blocked_user_id", "in", others)
          .execute(),
        selectBlocks(db)
          .where("user_id", "in", others)
          .where("blocked_user_id", "=", userId)
          .execute(),
      ]);
      return [...own, ...theirs].map((row) => ({
        blockerUserId: row.user_id,
        blockedUserId: row.blocked_user_id,
      }));
    },
  };
}

function selectBlocks(db: Kysely<Database>) {
  return db.selectFrom("blocks").select(["user_id", "blocked_user_id"]);
}

async function hasBlock(
  trx: Transaction<Database>,
  userId: string,
  blockedUserId: string,
): Promise<boolean> {
  const row = await selectBlocks(trx)
    .where("user_id", "=", userId)
    .where("blocked_user_id", "=", blockedUserId)
    .executeTakeFirst();
  return row !== undefined;
}

function blockUser(
  database: AccountDatabase,
  userId: string,
  blockedUserId: string,
  options: { readonly blocksMax: number; readonly nowMs: number },
): ReturnType<ContactStore["blockUser"]> {
  return withTransaction(database, async (trx) => {
    await lockUser(trx, database.locking, userId);
    if (await hasBlock(trx, userId, blockedUserId)) return { kind: "blocked" as const };
    const known = await createSqlPeople({ db: trx }).existingUserIds([blockedUserId]);
    if (known.size === 0) return { kind: "user-not-found" as const };
    const { count } = await trx
      .selectFrom("blocks")
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .where("user_id", "=", userId)
      .executeTakeFirstOrThrow();
    if (Number(count) >= options.blocksMax) return { kind: "block-limit" as const };
    await trx
      .insertInto("blocks")
      .values({ user_id: userId, blocked_user_id: blockedUserId, create_time_ms: options.nowMs })
      .execute();
    await trx
      .deleteFrom("contacts")
      .where("user_id", "=", userId)
      .where("contact_user_id", "=", blockedUserId)
      .execute();
    await enterPending(trx, userId, blockedUserId);
    return { kind: "blocked" as const };
  });
}

async function enterPending(
  trx: Transaction<Database>,
  blockerUserId: string,
  blockedUserId: string,
): Promise<void> {
  await trx
    .deleteFrom("block_outbox")
    .where("blocker_user_id", "=", blockerUserId)
    .where("blocked_user_id", "=", blockedUserId)
    .execute();
  await trx
    .insertInto("block_outbox")
    .values({
      blocker_user_id: blockerUserId,
      blocked_user_id: blockedUserId,
      change_id: newUuid(),
    })
    .execute();
}

async function listBlocks(
  db: Kysely<Database>,
  userId: string,
  page: { readonly after: BlockPlace | undefined; readonly limit: number },
) {
  const { after } = page;
  let query = db
    .selectFrom("blocks")
    .innerJoin("users", "users.user_id", "blocks.blocked_user_id")
    .selectAll("users")
    .select("blocks.create_time_ms as block_time_ms")
    .where("blocks.user_id", "=", userId);
  if (after !== undefined) {
    query = query.where(({ and, eb, or }) =>
      or([
        eb("blocks.create_time_ms", "<", after.createTimeMs),
        and([
          eb("blocks.create_time_ms", "=", after.createTimeMs),
          eb("blocks.blocked_user_id", ">", after.userId),
        ]),
      ]),
    );
  }
  const rows = await query
    .orderBy("blocks.create_time_ms", "desc")
    .orderBy("blocks.blocked_user_id")
    .limit(page.limit)
    .execute();
  return rows.map((row) => ({ account: toAccount(row), createTimeMs: row.block_time_ms }));
}
