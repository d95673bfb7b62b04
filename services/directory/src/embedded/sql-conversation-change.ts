/** The transaction in which a change is decided and written; shared by the stores of this folder. */
import { create, toBinary } from "@bufbuild/protobuf";
import type { ConversationChange } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ConversationChangedSchema } from "@parley/gen/parley/internal/message/v1/log_record_pb";
import { currentTraceContext, formatTraceParent } from "@parley/platform/telemetry/trace-context";
import type { Transaction } from "kysely";
import type { ChangeOutcome } from "../conversation-ports.ts";
import {
  type Changed,
  type ConversationSnapshot,
  type ConversationState,
  type Decision,
  type Membership,
  refuse,
} from "../domain/conversation.ts";
import type { Database } from "./schema.ts";
import {
  fromConversation,
  fromMembership,
  toConversation,
  toMembership,
} from "./sql-conversation-rows.ts";
import { type SqlDatabase, withTransaction } from "./sql-database.ts";

/** The directory's database; the stores of conversations write only tables of `ConversationTables`. */
export type DirectoryDatabase = SqlDatabase<Database>;

export type Reads = { readonly userIds: readonly string[]; readonly heirOf?: string };

/** Takes the conversation's lock until the transaction ends, and reads it. */
export async function lockConversation(
  trx: Transaction<Database>,
  locking: DirectoryDatabase["locking"],
  conversationId: string,
): Promise<ConversationState | undefined> {
  const row = await trx
    .selectFrom("conversations")
    .selectAll()
    .where("conversation_id", "=", conversationId)
    .$if(locking === "row", (query) => query.forUpdate())
    .executeTakeFirst();
  return row === undefined ? undefined : toConversation(row);
}

/** Reads what a decision looks at; the lock is held. */
export async function readSnapshot(
  trx: Transaction<Database>,
  conversation: ConversationState,
  reads: Reads,
): Promise<ConversationSnapshot> {
  const { conversationId } = conversation;
  const rows = await trx
    .selectFrom("conversation_members")
    .selectAll()
    .where("conversation_id", "=", conversationId)
    .where("user_id", "in", [...new Set(reads.userIds)])
    .execute();
  const members = new Map(rows.map((row) => [row.user_id, toMembership(row)]));
  const heir =
    reads.heirOf === undefined ? undefined : await readHeir(trx, conversationId, reads.heirOf);
  return { conversation, members, heir };
}

async function readHeir(
  trx: Transaction<Database>,
  conversationId: string,
  leaverUserId: string,
): Promise<Membership | undefined> {
  const row = await trx
    .selectFrom("conversation_members")
    .selectAll()
    .where("conversation_id", "=", conversationId)
    .where("role", ">", 0)
    .where("user_id", "!=", leaverUserId)
    .orderBy("role", "desc")
    .orderBy("join_version")
    .orderBy("user_id")
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? undefined : toMembership(row);
}

/** Writes what was decided, if anything, and says what a caller waits for. */
export async function applyDecision(
  trx: Transaction<Database>,
  snapshot: ConversationSnapshot,
  decision: Decision,
): Promise<ChangeOutcome> {
  if (decision.kind === "refused") return decision;
  const { conversationId } = snapshot.conversation;
  if (decision.kind === "unchanged") return unchanged(snapshot.conversation);
  const { conversation, members, change } = decision;
  await trx
    .updateTable("conversations")
    .set({
      title: conversation.title,
      membership_version: conversation.membershipVersion,
      member_count: conversation.memberCount,
      change_time_ms: conversation.changeTimeMs,
    })
    .where("conversation_id", "=", conversationId)
    .execute();
  const known = (userId: string) =>
    snapshot.members.has(userId) || snapshot.heir?.userId === userId;
  await insertMembers(
    trx,
    conversationId,
    members.filter(({ userId }) => !known(userId)),
  );
  for (const member of members.filter(({ userId }) => known(userId))) {
    await trx
      .updateTable("conversation_members")
      .set(fromMembership(member))
      .where("conversation_id", "=", conversationId)
      .where("user_id", "=", member.userId)
      .execute();
  }
  await insertOutbox(trx, conversationId, change);
  return { ...unchanged(conversation), changed: true };
}

/** The outcome of a wish that was fulfilled already. */
export function unchanged({
  conversationId,
  membershipVersion,
}: Pick<ConversationState, "conversationId" | "membershipVersion">) {
  return { kind: "done", conversationId, membershipVersion, changed: false } as const;
}

/** Writes a new conversation with its first change. Fails if its id is taken. */
export async function insertConversation(
  trx: Transaction<Database>,
  creation: Changed,
): Promise<ChangeOutcome> {
  const { conversationId } = creation.conversation;
  await trx.insertInto("conversations").values(fromConversation(creation.conversation)).execute();
  await insertMembers(trx, conversationId, creation.members);
  await insertOutbox(trx, conversationId, creation.change);
  return { ...unchanged(creation.conversation), changed: true };
}

/** Decides about a conversation under its lock, and writes what was decided. */
export async function changeUnderLock(
  database: DirectoryDatabase,
  conversationId: string,
  reads: Reads,
  decide: (
    snapshot: ConversationSnapshot,
    trx: Transaction<Database>,
  ) => Decision | Promise<Decision>,
): Promise<ChangeOutcome> {
  return await withTransaction(database, async (trx) => {
    const conversation = await lockConversation(trx, database.locking, conversationId);
    if (conversation === undefined) return refuse({ reason: "CONVERSATION_NOT_FOUND" });
    const snapshot = await readSnapshot(trx, conversation, reads);
    return await applyDecision(trx, snapshot, await decide(snapshot, trx));
  });
}

async function insertMembers(
  trx: Transaction<Database>,
  conversationId: string,
  members: readonly Membership[],
): Promise<void> {
  if (members.length === 0) return;
  const rows = members.map((member) => ({
    conversation_id: conversationId,
    ...fromMembership(member),
    mute_until_time_ms: null,
  }));
  await trx.insertInto("conversation_members").values(rows).execute();
}

async function insertOutbox(
  trx: Transaction<Database>,
  conversationId: string,
  change: ConversationChange,
): Promise<void> {
  const trace = currentTraceContext();
  await trx
    .insertInto("conversation_outbox")
    .values({
      conversation_id: conversationId,
      membership_version: Number(change.membershipVersion),
      change: toBinary(ConversationChangedSchema, create(ConversationChangedSchema, { change })),
      trace_parent: trace?.sampled === true ? formatTraceParent(trace) : "",
    })
    .execute();
}
