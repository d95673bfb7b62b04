/** Conversations, members, invite links, and the outbox of their changes. */
import type { Kysely } from "kysely";

/** The longest id, title and code, in characters; MySQL needs them stated, SQLite ignores them. */
const UUID = "varchar(36)";
const TITLE = "varchar(100)";
const INVITE_CODE = "varchar(22)";
const TRACE_PARENT = "varchar(64)";

export async function up(db: Kysely<unknown>): Promise<void> {
  await createConversations(db);
  await createMembers(db);
  await createInviteLinks(db);
  await db.schema
    .createTable("group_creations")
    .addColumn("user_id", UUID, (column) => column.notNull())
    .addColumn("request_id", UUID, (column) => column.notNull())
    .addColumn("conversation_id", UUID, (column) => column.notNull())
    .addColumn("create_time_ms", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("group_creations_key", ["user_id", "request_id"])
    .execute();
  await db.schema
    .createIndex("group_creations_by_time")
    .on("group_creations")
    .columns(["create_time_ms"])
    .execute();
  await db.schema
    .createTable("conversation_outbox")
    .addColumn("conversation_id", UUID, (column) => column.notNull())
    .addColumn("membership_version", "bigint", (column) => column.notNull())
    .addColumn("change", "blob", (column) => column.notNull())
    .addColumn("trace_parent", TRACE_PARENT, (column) => column.notNull())
    .addPrimaryKeyConstraint("conversation_outbox_key", ["conversation_id", "membership_version"])
    .execute();
}

async function createConversations(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("conversations")
    .addColumn("conversation_id", UUID, (column) => column.primaryKey().notNull())
    .addColumn("kind", "integer", (column) => column.notNull())
    .addColumn("encryption_mode", "integer", (column) => column.notNull())
    .addColumn("title", TITLE, (column) => column.notNull())
    .addColumn("membership_version", "bigint", (column) => column.notNull())
    .addColumn("member_count", "integer", (column) => column.notNull())
    .addColumn("direct_low_user_id", UUID)
    .addColumn("direct_high_user_id", UUID)
    .addColumn("create_time_ms", "bigint", (column) => column.notNull())
    .addColumn("change_time_ms", "bigint", (column) => column.notNull())
    .execute();
}

async function createMembers(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("conversation_members")
    .addColumn("conversation_id", UUID, (column) => column.notNull())
    .addColumn("user_id", UUID, (column) => column.notNull())
    .addColumn("role", "integer", (column) => column.notNull())
    .addColumn("removed", "integer", (column) => column.notNull())
    .addColumn("may_send", "integer", (column) => column.notNull())
    .addColumn("join_version", "bigint", (column) => column.notNull())
    .addColumn("join_time_ms", "bigint", (column) => column.notNull())
    .addColumn("mute_until_time_ms", "bigint")
    .addPrimaryKeyConstraint("conversation_members_key", ["conversation_id", "user_id"])
    .execute();
  // Members of a conversation in the order in which they are listed; former members fall out by their role.
  await db.schema
    .createIndex("conversation_members_by_role")
    .on("conversation_members")
    .columns(["conversation_id", "role", "join_version", "user_id"])
    .execute();
  // Conversations of a person, newest membership first.
  await db.schema
    .createIndex("conversation_members_by_user")
    .on("conversation_members")
    .columns(["user_id", "join_time_ms", "conversation_id"])
    .execute();
}

async function createInviteLinks(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("invite_links")
    .addColumn("invite_code", INVITE_CODE, (column) => column.primaryKey().notNull())
    .addColumn("conversation_id", UUID, (column) => column.notNull())
    .addColumn("creator_user_id", UUID, (column) => column.notNull())
    .addColumn("create_time_ms", "bigint", (column) => column.notNull())
    .addColumn("expire_time_ms", "bigint", (column) => column.notNull())
    .addColumn("use_limit", "integer", (column) => column.notNull())
    .addColumn("use_count", "integer", (column) => column.notNull())
    .addColumn("revoked", "integer", (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex("invite_links_by_conversation")
    .on("invite_links")
    .columns(["conversation_id", "create_time_ms"])
    .execute();
}
