/** The outbox of conversation changes in SQL. Its rows are written by the changes themselves. */
import { fromBinary } from "@bufbuild/protobuf";
import { ConversationChangedSchema } from "@parley/gen/parley/internal/message/v1/log_record_pb";
import type { OutboxStore } from "../conversation-ports.ts";
import type { DirectoryDatabase } from "./sql-conversation-change.ts";

/** Creates the store on a database whose migrations have run. */
export function createSqlOutboxStore({ db }: Pick<DirectoryDatabase, "db">): OutboxStore {
  return {
    async readPending(conversationId, limit) {
      const rows = await db
        .selectFrom("conversation_outbox")
        .selectAll()
        .where("conversation_id", "=", conversationId)
        .orderBy("membership_version")
        .limit(limit)
        .execute();
      return rows.map((row) => {
        const { change } = fromBinary(ConversationChangedSchema, row.change);
        if (change === undefined) throw new Error("an outbox row holds no change");
        return {
          conversationId,
          membershipVersion: row.membership_version,
          change,
          traceParent: row.trace_parent,
        };
      });
    },

    async listPending(after, limit) {
      const rows = await db
        .selectFrom("conversation_outbox")
        .select("conversation_id")
        .distinct()
        .where("conversation_id", ">", after)
        .orderBy("conversation_id")
        .limit(limit)
        .execute();
      return rows.map((row) => row.conversation_id);
    },

    async deletePending(conversationId, membershipVersion) {
      await db
        .deleteFrom("conversation_outbox")
        .where("conversation_id", "=", conversationId)
        .where("membership_version", "=", membershipVersion)
        .execute();
    },
  };
}
