import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeConversationStore } from "../conversation-ports.contract.ts";
import { describeInvitesAndOutbox } from "../invite-outbox.contract.ts";
import type { ConversationStores } from "../testing/conversation-stores.ts";
import { createSqlConversationStore } from "./sql-conversation-store.ts";
import { createSqlInviteStore } from "./sql-invite-store.ts";
import { createSqlOutboxStore } from "./sql-outbox-store.ts";
import { openSqliteDatabase } from "./sqlite-database.ts";

async function open(): Promise<ConversationStores> {
  const directory = await mkdtemp(join(tmpdir(), "parley-directory-"));
  const database = await openSqliteDatabase({ path: join(directory, "directory.sqlite") });
  return {
    conversations: createSqlConversationStore(database),
    invites: createSqlInviteStore(database),
    outbox: createSqlOutboxStore(database),
    async block(blockerUserId, blockedUserId) {
      const row = { user_id: blockerUserId, blocked_user_id: blockedUserId, create_time_ms: 0 };
      await database.db.insertInto("blocks").values(row).execute();
    },
    async [Symbol.asyncDispose]() {
      await database[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

describeConversationStore("SQLite", open);
describeInvitesAndOutbox("SQLite", open);
