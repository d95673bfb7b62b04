/** Conversations and members in SQL, through Kysely: the same queries on SQLite and MySQL. */
import type { Kysely, Transaction } from "kysely";
import type {
  BlockPair,
  ChangeOutcome,
  ConversationStore,
  ConversationView,
  CreationRequest,
  MemberPlace,
  MembershipPlace,
} from "../conversation-ports.ts";
import { type Changed, refuse } from "../domain/conversation.ts";
import type { ConversationRow } from "./conversation-schema.ts";
import type { Database } from "./schema.ts";
import { createSqlPeople } from "./sql-block-store.ts";
import {
  changeUnderLock,
  type DirectoryDatabase,
  insertConversation,
  unchanged,
} from "./sql-conversation-change.ts";
import { toConversation, toMembership, toView } from "./sql-conversation-rows.ts";
import { withSnapshot, withTransaction } from "./sql-database.ts";

/** Creates the store on a database whose migrations have run. */
export function createSqlConversationStore(database: DirectoryDatabase): ConversationStore {
  const { db } = database;
  return {
    createDirect: (creation) => createDirect(database, creation),
    createGroup: (creation, request) => createGroup(database, creation, request),
    findCreation: (request) => findCreation(db, request),
    change: (conversationId, reads, decide) =>
      changeUnderLock(database, conversationId, reads, (snapshot) => decide(snapshot)),
    changeByBlocks: (conversationId, userIds, decide) =>
      changeUnderLock(database, conversationId, { userIds }, async (snapshot, trx) =>
        decide(snapshot, await readBlocks(trx, userIds)),
      ),
    read: (conversationId, userId) => readView(db, conversationId, userId),
    listByMember: (userId, page) => listByMember(db, userId, page),
    listMembers: (conversationId, readerUserId, page) =>
      listMembers(database, conversationId, readerUserId, page),
    filterMembers: (conversationId, userIds) => filterMembers(db, conversationId, userIds),
    async setMute(conversationId, userId, muteUntilTimeMs) {
      const result = await db
        .updateTable("conversation_members")
        .set({ mute_until_time_ms: muteUntilTimeMs ?? null })
        .where("conversation_id", "=", conversationId)
        .where("user_id", "=", userId)
        .where("role", ">", 0)
        .executeTakeFirst();
      if (result.numUpdatedRows > 0n) return true;
      // MySQL counts only rows whose value changed: a repetition is told from a stranger by looking.
      return (await filterMembers(db, conversationId, [userId])).length > 0;
    },
  };
}

async function createDirect(
  database: DirectoryDatabase,
  creation: Changed,
): Promise<ChangeOutcome> {
  const { db } = database;
  const { conversationId } = creation.conversation;
  const existing = await findVersion(db, conversationId);
  if (existing !== undefined) return existing;
  try {
    return await withTransaction(database, (trx) => insertDirect(trx, creation));
  } catch (error) {
    if (error instanceof BlockFound) return refuse({ reason: "BLOCKED", userIds: error.userIds });
    // The other side was quicker, or an earlier attempt got through and its answer did not.
    const created = await findVersion(db, conversationId);
    if (created !== undefined) return created;
    throw error;
  }
}

/** Rolls a transaction back because a block stands in the way of what it wrote. */
class BlockFound extends Error {
  override readonly name = "BlockFound";
  readonly userIds: readonly string[];

  constructor(userIds: readonly string[]) {
    super("a block was found");
    this.userIds = userIds;
  }
}

/**
 * The row comes before the look at the blocks: from then on, whoever brings a newer block waits for this
 * transaction to end, and finds the conversation.
 */
async function insertDirect(trx: Transaction<Database>, creation: Changed): Promise<ChangeOutcome> {
  const outcome = await insertConversation(trx, creation);
  const { directUserIds } = creation.conversation;
  const blocks = directUserIds === undefined ? [] : await readBlocks(trx, directUserIds);
  const { actorUserId } = creation.change;
  if (blocks.length === 0) return outcome;
  throw new BlockFound(directUserIds?.filter((userId) => userId !== actorUserId) ?? []);
}

function readBlocks(
  trx: Transaction<Database>,
  [one, two]: readonly [string, string],
): Promise<readonly BlockPair[]> {
  return createSqlPeople({ db: trx }).blocksBetween(one, [two]);
}

async function createGroup(
  database: DirectoryDatabase,
  creation: Changed,
  request: CreationRequest,
): Promise<ChangeOutcome> {
  const { db } = database;
  const { conversationId, createTimeMs } = creation.conversation;
  const existing = await findCreation(db, request);
  if (existing !== undefined) return existing;
  try {
    return await withTransaction(database, async (trx) => {
      await trx
        .deleteFrom("group_creations")
        .where("create_time_ms", "<", request.rememberedSinceMs)
        .execute();
      // The key decides between two calls at once: the second one waits here, and then fails.
      await trx
        .insertInto("group_creations")
        .values({
          user_id: request.userId,
          request_id: request.requestId,
          conversation_id: conversationId,
          create_time_ms: createTimeMs,
        })
        .execute();
      return await insertConversation(trx, creation);
    });
  } catch (error) {
    const created = await findCreation(db, request);
    if (created !== undefined) return created;
    throw error;
  }
}

async function findCreation(
  db: Kysely<Database>,
  request: CreationRequest,
): Promise<ChangeOutcome | undefined> {
  const row = await db
    .selectFrom("group_creations")
    .select("conversation_id")
    .where("user_id", "=", request.userId)
    .where("request_id", "=", request.requestId)
    .where("create_time_ms", ">=", request.rememberedSinceMs)
    .executeTakeFirst();
  return row === undefined ? undefined : await findVersion(db, row.conversation_id);
}

async function findVersion(
  db: Kysely<Database>,
  conversationId: string,
): Promise<ChangeOutcome | undefined> {
  const row = await findConversation(db, conversationId);
  return row === undefined ? undefined : unchanged(toConversation(row));
}

function findConversation(
  db: Kysely<Database>,
  conversationId: string,
): Promise<ConversationRow | undefined> {
  return db
    .selectFrom("conversations")
    .selectAll()
    .where("conversation_id", "=", conversationId)
    .executeTakeFirst();
}

async function readView(
  db: Kysely<Database>,
  conversationId: string,
  userId: string,
): Promise<ConversationView | undefined> {
  const conversation = await findConversation(db, conversationId);
  if (conversation === undefined) return undefined;
  const member = await db
    .selectFrom("conversation_members")
    .selectAll()
    .where("conversation_id", "=", conversationId)
    .where("user_id", "=", userId)
    .executeTakeFirst();
  return toView(conversation, member);
}

async function listByMember(
  db: Kysely<Database>,
  userId: string,
  page: { readonly after: MembershipPlace | undefined; readonly limit: number },
): Promise<readonly ConversationView[]> {
  const { after } = page;
  let query = db
    .selectFrom("conversation_members")
    .selectAll()
    .where("user_id", "=", userId)
    .where("role", ">", 0);
  if (after !== undefined) {
    query = query.where(({ and, eb, or }) =>
      or([
        eb("join_time_ms", "<", after.joinTimeMs),
        and([
          eb("join_time_ms", "=", after.joinTimeMs),
          eb("conversation_id", ">", after.conversationId),
        ]),
      ]),
    );
  }
  const members = await query
    .orderBy("join_time_ms", "desc")
    .orderBy("conversation_id")
    .limit(page.limit)
    .execute();
  if (members.length === 0) return [];
  const ids = members.map((member) => member.conversation_id);
  const conversations = await db
    .selectFrom("conversations")
    .selectAll()
    .where("conversation_id", "in", ids)
    .execute();
  const byId = new Map(conversations.map((row) => [row.conversation_id, row]));
  return members.flatMap((member) => {
    const conversation = byId.get(member.conversation_id);
    return conversation === undefined ? [] : [toView(conversation, member)];
  });
}

async function listMembers(
  database: DirectoryDatabase,
  conversationId: string,
  readerUserId: string,
  page: { readonly after: MemberPlace | undefined; readonly limit: number },
) {
  // Of one moment, because the version that is answered is the one that the page was read at.
  return await withSnapshot(database, async (trx) => {
    const view = await readView(trx, conversationId, readerUserId);
    if (view === undefined) return undefined;
    const { after } = page;
    let query = trx
      .selectFrom("conversation_members")
      .selectAll()
      .where("conversation_id", "=", conversationId)
      .where("role", ">", 0);
    if (after !== undefined) {
      query = query.where(({ and, eb, or }) =>
        or([
          eb("role", "<", after.role),
          and([eb("role", "=", after.role), eb("join_version", ">", after.joinVersion)]),
          and([
            eb("role", "=", after.role),
            eb("join_version", "=", after.joinVersion),
            eb("user_id", ">", after.userId),
          ]),
        ]),
      );
    }
    const rows = await query
      .orderBy("role", "desc")
      .orderBy("join_version")
      .orderBy("user_id")
      .limit(page.limit)
      .execute();
    return { view, members: rows.map(toMembership) };
  });
}

async function filterMembers(
  db: Kysely<Database>,
  conversationId: string,
  userIds: readonly string[],
): Promise<readonly string[]> {
  if (userIds.length === 0) return [];
  const rows = await db
    .selectFrom("conversation_members")
    .select("user_id")
    .where("conversation_id", "=", conversationId)
    .where("user_id", "in", [...new Set(userIds)])
    .where("role", ">", 0)
    .execute();
  return rows.map((row) => row.user_id);
}
