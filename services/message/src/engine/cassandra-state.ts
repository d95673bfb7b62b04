/** Reads what is not a timeline: checkpoints, heads, dedupe entries, ended memberships, parked records. */
import type { CassandraSession } from "@parley/platform/storage/engine/cassandra";
import { WINDOWS_PER_PERSON_MAX } from "../domain/window.ts";
import type { MessageStore } from "../ports.ts";
import {
  toCheckpoint,
  toClosedWindow,
  toDedupeEntry,
  toParkedRecord,
  toState,
} from "./cassandra-values.ts";
import { PARKED_SHELF } from "./cassandra-writer.ts";

export type StateReader = Pick<
  MessageStore,
  "loadCheckpoint" | "loadConversations" | "findDedupe" | "readClosedWindows" | "readParked"
>;

const SELECT_CHECKPOINT =
  "SELECT replay_offset, end_offset FROM message_checkpoints WHERE log_partition = ?";
const SELECT_CONVERSATION =
  "SELECT kind, encryption_mode, direct_user_ids, last_seq, last_message_id, last_processed_offset, " +
  "last_append_time_ms, unread_ordinal, membership_version, user_id, joined_seq, may_send " +
  "FROM conversations WHERE conversation_id = ?";
const SELECT_DEDUPE =
  "SELECT log_offset, seq, message_id, append_time_ms FROM message_dedupe WHERE conversation_id = ? " +
  "AND user_id = ? AND device_id = ? AND client_message_id = ? AND log_offset < ? LIMIT 1";
const SELECT_WINDOWS =
  "SELECT joined_seq, left_seq FROM closed_windows WHERE conversation_id = ? AND user_id = ? LIMIT ?";
const SELECT_PARKED =
  "SELECT topic, log_partition, log_offset, append_time_ms, size_bytes, reason FROM parked_records WHERE shelf = ?";
const SELECT_PARKED_FIRST = `${SELECT_PARKED} LIMIT ?`;
const SELECT_PARKED_AFTER = `${SELECT_PARKED} AND (topic, log_partition, log_offset) > (?, ?, ?) LIMIT ?`;

export function createStateReader(session: Pick<CassandraSession, "read">): StateReader {
  return {
    async loadCheckpoint(partition) {
      const [row] = await session.read(SELECT_CHECKPOINT, [partition]);
      return row === undefined ? undefined : toCheckpoint(row);
    },

    async loadConversations(conversationIds) {
      const states = await Promise.all(
        conversationIds.map(async (id) => {
          const rows = await session.read(SELECT_CONVERSATION, [id]);
          return toState(id, rows);
        }),
      );
      const found = states.filter((state) => state !== undefined);
      return new Map(found.map((state) => [state.conversationId, state]));
    },

    findDedupe: (queries) =>
      Promise.all(
        queries.map(async ({ key, beforeOffset }) => {
          const { conversationId, userId, deviceId, clientMessageId } = key;
          const params = [conversationId, userId, deviceId, clientMessageId, BigInt(beforeOffset)];
          const [row] = await session.read(SELECT_DEDUPE, params);
          return row === undefined ? undefined : toDedupeEntry(key, row);
        }),
      ),

    async readClosedWindows(conversationId, userId) {
      const params = [conversationId, userId, WINDOWS_PER_PERSON_MAX];
      const rows = await session.read(SELECT_WINDOWS, params);
      // The newest come first, and are wanted last.
      return rows.map((row) => toClosedWindow(userId, row)).reverse();
    },

    async readParked(after, recordsMax) {
      if (after === undefined) {
        const rows = await session.read(SELECT_PARKED_FIRST, [PARKED_SHELF, recordsMax]);
        return rows.map(toParkedRecord);
      }
      const { topic, partition, offset } = after;
      const place = [topic, partition, BigInt(offset)];
      const rows = await session.read(SELECT_PARKED_AFTER, [PARKED_SHELF, ...place, recordsMax]);
      return rows.map(toParkedRecord);
    },
  };
}
