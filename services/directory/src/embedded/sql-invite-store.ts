/** Invite links in SQL. Every write holds the lock of the group that the link leads to. */
import type { Kysely, Transaction } from "kysely";
import type { ChangeOutcome, InviteStore } from "../conversation-ports.ts";
import { type ConversationSnapshot, type Decision, refuse } from "../domain/conversation.ts";
import { type InviteState, isInviteLive } from "../domain/conversation-invite.ts";
import type { Database } from "./schema.ts";
import {
  applyDecision,
  type DirectoryDatabase,
  lockConversation,
  readSnapshot,
} from "./sql-conversation-change.ts";
import { fromInvite, toInvite } from "./sql-conversation-rows.ts";
import { withTransaction } from "./sql-database.ts";

/**
 * Links of a group that are kept, live and ended; above it the oldest ended ones are forgotten. Enough for
 * a person who joined and repeats the call; bounded, because making and ending links is free.
 */
export const INVITE_LINKS_KEPT_MAX = 100;

/** Creates the store on a database whose migrations have run. */
export function createSqlInviteStore(database: DirectoryDatabase): InviteStore {
  const { db, locking } = database;
  return {
    readInvite: (inviteCode) => readInvite(db, inviteCode),

    listInvites: (conversationId, readerUserId, nowMs, admit) =>
      withTransaction(database, async (trx) => {
        const snapshot = await lockSnapshot(trx, locking, conversationId, readerUserId);
        if (snapshot === undefined) return refuse({ reason: "CONVERSATION_NOT_FOUND" });
        const admitted = admit(snapshot);
        if (admitted.kind === "refused") return admitted;
        const invites = await listInvites(trx, conversationId);
        return { kind: "listed", invites: invites.filter((link) => isInviteLive(link, nowMs)) };
      }),

    createInvite: (invite, admit) =>
      withTransaction(database, async (trx) => {
        const { conversationId, creatorUserId, createTimeMs } = invite;
        const snapshot = await lockSnapshot(trx, locking, conversationId, creatorUserId);
        if (snapshot === undefined) return refuse({ reason: "CONVERSATION_NOT_FOUND" });
        const links = await listInvites(trx, conversationId);
        const ended = links.filter((link) => !isInviteLive(link, createTimeMs));
        const liveLinks = links.length - ended.length;
        const admitted = admit(snapshot, liveLinks);
        if (admitted.kind === "refused") return admitted;
        await forgetInvites(trx, ended.slice(INVITE_LINKS_KEPT_MAX - liveLinks - 1));
        await trx.insertInto("invite_links").values(fromInvite(invite)).execute();
        return { kind: "created" };
      }),

    revokeInvite: (conversationId, actorUserId, inviteCode, admit) =>
      withTransaction(database, async (trx) => {
        const snapshot = await lockSnapshot(trx, locking, conversationId, actorUserId);
        if (snapshot === undefined) return refuse({ reason: "CONVERSATION_NOT_FOUND" });
        const admitted = admit(snapshot);
        if (admitted.kind === "refused") return admitted;
        await trx
          .updateTable("invite_links")
          .set({ revoked: 1 })
          .where("invite_code", "=", inviteCode)
          .where("conversation_id", "=", conversationId)
          .execute();
        return { kind: "revoked" };
      }),

    joinByInvite: (inviteCode, actorUserId, decide) =>
      joinByInvite(database, inviteCode, actorUserId, decide),
  };
}

async function joinByInvite(
  database: DirectoryDatabase,
  inviteCode: string,
  actorUserId: string,
  decide: (snapshot: ConversationSnapshot, invite: InviteState) => Decision,
): Promise<ChangeOutcome> {
  // A link never changes its group, so the group to lock can be looked up before the lock is held.
  const found = await readInvite(database.db, inviteCode);
  if (found === undefined) return refuse({ reason: "INVITE_NOT_FOUND" });
  return await withTransaction(database, async (trx) => {
    const snapshot = await lockSnapshot(trx, database.locking, found.conversationId, actorUserId);
    const invite = await readInvite(trx, inviteCode);
    if (snapshot === undefined || invite === undefined) {
      return refuse({ reason: "INVITE_NOT_FOUND" });
    }
    const decision = decide(snapshot, invite);
    if (decision.kind === "changed") {
      await trx
        .updateTable("invite_links")
        .set({ use_count: invite.useCount + 1 })
        .where("invite_code", "=", inviteCode)
        .execute();
    }
    return await applyDecision(trx, snapshot, decision);
  });
}

async function lockSnapshot(
  trx: Transaction<Database>,
  locking: DirectoryDatabase["locking"],
  conversationId: string,
  userId: string,
): Promise<ConversationSnapshot | undefined> {
  const conversation = await lockConversation(trx, locking, conversationId);
  if (conversation === undefined) return undefined;
  return await readSnapshot(trx, conversation, { userIds: [userId] });
}

async function readInvite(
  db: Kysely<Database>,
  inviteCode: string,
): Promise<InviteState | undefined> {
  const row = await db
    .selectFrom("invite_links")
    .selectAll()
    .where("invite_code", "=", inviteCode)
    .executeTakeFirst();
  return row === undefined ? undefined : toInvite(row);
}

/** Newest first. */
async function listInvites(
  trx: Transaction<Database>,
  conversationId: string,
): Promise<InviteState[]> {
  const rows = await trx
    .selectFrom("invite_links")
    .selectAll()
    .where("conversation_id", "=", conversationId)
    .orderBy("create_time_ms", "desc")
    .orderBy("invite_code")
    .execute();
  return rows.map(toInvite);
}

async function forgetInvites(
  trx: Transaction<Database>,
  invites: readonly InviteState[],
): Promise<void> {
  if (invites.length === 0) return;
  const codes = invites.map((invite) => invite.inviteCode);
  await trx.deleteFrom("invite_links").where("invite_code", "in", codes).execute();
}
