/** Users, devices, tokens, contacts, blocks, and the outboxes of revocations and blocks. */
import type { Kysely } from "kysely";

/** Lengths in characters; MySQL needs them stated, SQLite ignores them. */
const UUID = "varchar(36)";
const USERNAME = "varchar(32)";
const NAME = "varchar(64)";
const ABOUT = "varchar(140)";
/** A PHC string of argon2id with the largest parameters that the config admits. */
const PASSWORD_HASH = "varchar(255)";
const SHA256_HEX = "varchar(64)";
/** OpenID Connect bounds subjects at 255; two such columns fit into one key of MySQL (3,072 bytes). */
const EXTERNAL_ID = "varchar(255)";
const KEY_NAME = "varchar(32)";
const KEY_VALUE = "varchar(1024)";

export async function up(db: Kysely<unknown>): Promise<void> {
  await createUsers(db);
  await createDevices(db);
  await createContacts(db);
  await db.schema
    .createTable("server_keys")
    .addColumn("name", KEY_NAME, (column) => column.primaryKey().notNull())
    .addColumn("value", KEY_VALUE, (column) => column.notNull())
    .addColumn("create_time_ms", "bigint", (column) => column.notNull())
    .execute();
}

async function createUsers(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("users")
    .addColumn("user_id", UUID, (column) => column.primaryKey().notNull())
    .addColumn("username", USERNAME, (column) => column.notNull())
    .addColumn("display_name", NAME, (column) => column.notNull())
    .addColumn("display_name_folded", NAME, (column) => column.notNull())
    .addColumn("about", ABOUT, (column) => column.notNull())
    .addColumn("password_hash", PASSWORD_HASH)
    .addColumn("presence_visibility", "integer", (column) => column.notNull())
    .addColumn("send_read_receipts", "integer", (column) => column.notNull())
    .addColumn("searchable", "integer", (column) => column.notNull())
    .addColumn("create_time_ms", "bigint", (column) => column.notNull())
    .addUniqueConstraint("users_username", ["username"])
    .execute();
  await db.schema
    .createIndex("users_by_display_name")
    .on("users")
    .columns(["display_name_folded", "username"])
    .execute();
  await db.schema
    .createTable("external_subjects")
    .addColumn("issuer", EXTERNAL_ID, (column) => column.notNull())
    .addColumn("subject", EXTERNAL_ID, (column) => column.notNull())
    .addColumn("user_id", UUID, (column) => column.notNull())
    .addPrimaryKeyConstraint("external_subjects_key", ["issuer", "subject"])
    .execute();
}

async function createDevices(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("devices")
    .addColumn("device_id", UUID, (column) => column.primaryKey().notNull())
    .addColumn("user_id", UUID, (column) => column.notNull())
    .addColumn("name", NAME, (column) => column.notNull())
    .addColumn("platform", "integer", (column) => column.notNull())
    .addColumn("create_time_ms", "bigint", (column) => column.notNull())
    .addColumn("last_refresh_time_ms", "bigint", (column) => column.notNull())
    .addColumn("expire_time_ms", "bigint", (column) => column.notNull())
    .addColumn("revoke_time_ms", "bigint")
    .addColumn("generation", "integer", (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex("devices_by_user")
    .on("devices")
    .columns(["user_id", "create_time_ms"])
    .execute();
  await db.schema
    .createTable("refresh_tokens")
    .addColumn("device_id", UUID, (column) => column.notNull())
    .addColumn("generation", "integer", (column) => column.notNull())
    .addColumn("token_hash", SHA256_HEX, (column) => column.notNull())
    .addColumn("issue_time_ms", "bigint", (column) => column.notNull())
    .addColumn("expire_time_ms", "bigint", (column) => column.notNull())
    .addColumn("rotate_time_ms", "bigint")
    .addPrimaryKeyConstraint("refresh_tokens_key", ["device_id", "generation"])
    .execute();
  await db.schema
    .createTable("revocation_outbox")
    .addColumn("device_id", UUID, (column) => column.primaryKey().notNull())
    .addColumn("user_id", UUID, (column) => column.notNull())
    .addColumn("create_time_ms", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex("revocation_outbox_by_user")
    .on("revocation_outbox")
    .columns(["user_id"])
    .execute();
}

async function createContacts(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("contacts")
    .addColumn("user_id", UUID, (column) => column.notNull())
    .addColumn("contact_user_id", UUID, (column) => column.notNull())
    .addColumn("create_time_ms", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("contacts_key", ["user_id", "contact_user_id"])
    .execute();
  await db.schema
    .createTable("blocks")
    .addColumn("user_id", UUID, (column) => column.notNull())
    .addColumn("blocked_user_id", UUID, (column) => column.notNull())
    .addColumn("create_time_ms", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("blocks_key", ["user_id", "blocked_user_id"])
    .execute();
  // Blocks of a person, newest first.
  await db.schema
    .createIndex("blocks_by_time")
    .on("blocks")
    .columns(["user_id", "create_time_ms", "blocked_user_id"])
    .execute();
  await db.schema
    .createTable("block_outbox")
    .addColumn("blocker_user_id", UUID, (column) => column.notNull())
    .addColumn("blocked_user_id", UUID, (column) => column.notNull())
    .addColumn("change_id", UUID, (column) => column.notNull())
    .addPrimaryKeyConstraint("block_outbox_key", ["blocker_user_id", "blocked_user_id"])
    .execute();
}
