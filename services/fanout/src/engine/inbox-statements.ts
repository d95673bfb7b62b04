/** What is written for heads, members and rows. Each part carries its own position as write timestamp. */
import type { CassandraStatement } from "@parley/platform/storage/engine/cassandra";
import type { Conversation, Members } from "../domain/conversation.ts";
import type { RowChange } from "../domain/inbox-row.ts";
import { timestampOf } from "./inbox-values.ts";

const UPDATE_HEAD =
  "UPDATE inbox_conversations USING TIMESTAMP ? SET kind = ?, last_seq = ?, last_message_id = ?, " +
  "unread_ordinal = ?, log_offset = ?, moved_time_ms = ? WHERE conversation_id = ?";
const UPDATE_MEMBERS =
  "UPDATE inbox_conversations USING TIMESTAMP ? SET kind = ?, members_version = ?, " +
  "members_changed_seq = ?, present_user_ids = ?, present_first_seqs = ?, departed_user_ids = ?, " +
  "departed_first_seqs = ?, departed_left_seqs = ? WHERE conversation_id = ?";

const JOIN =
  "UPDATE inbox_rows USING TIMESTAMP ? SET first_seq = ?, moved_time_ms = ? " +
  "WHERE user_id = ? AND conversation_id = ?";
const LEAVE =
  "UPDATE inbox_rows USING TIMESTAMP ? SET left_seq = ?, left_message_id = ?, " +
  "left_unread_ordinal = ?, moved_time_ms = ? WHERE user_id = ? AND conversation_id = ?";
const RAISE_READ_SEQ =
  "UPDATE inbox_rows USING TIMESTAMP ? SET read_seq = ? WHERE user_id = ? AND conversation_id = ?";
const RAISE_READ_UNREAD_ORDINAL =
  "UPDATE inbox_rows USING TIMESTAMP ? SET read_unread_ordinal = ? " +
  "WHERE user_id = ? AND conversation_id = ?";

/** An entry has one offset for ever, so two writes of one timestamp are of the same entry. None without entries. */
export function headStatements(
  epochNumber: number,
  { conversationId, kind, head }: Conversation,
  nowMs: number,
): CassandraStatement[] {
  if (head.seq === 0n) return [];
  const { seq, messageId, unreadOrdinal, offset } = head;
  const values = [seq, messageId, unreadOrdinal, offset, BigInt(nowMs)];
  const timestamp = timestampOf(epochNumber, offset);
  return [{ query: UPDATE_HEAD, params: [timestamp, kind, ...values, conversationId] }];
}

/** A version is made by one entry, so two writes of one timestamp hold the same members. None when none are known. */
export function memberStatements(
  epochNumber: number,
  { conversationId, kind, members }: Conversation,
): CassandraStatement[] {
  if (isUnknown(members)) return [];
  const { version, changedSeq, present, departed } = members;
  return [
    {
      query: UPDATE_MEMBERS,
      params: [
        timestampOf(epochNumber, version),
        kind,
        version,
        changedSeq,
        present.map(({ userId }) => userId),
        present.map(({ firstSeq }) => firstSeq),
        departed.map(({ userId }) => userId),
        departed.map(({ firstSeq }) => firstSeq),
        departed.map(({ leftSeq }) => leftSeq),
        conversationId,
      ],
    },
  ];
}

/** Those of a direct conversation have version 0 as well, but there are two of them. */
export function isUnknown({ version, present, departed }: Members): boolean {
  return version === 0n && present.length === 0 && departed.length === 0;
}

/**
 * One change of one person's row. In which order changes come does not matter, and how often: the last joining,
 * the last leaving and the furthest positions are each kept by the engine, as `changeRow` would.
 */
export function rowStatements(
  epochNumber: number,
  conversationId: string,
  change: RowChange,
  nowMs: number,
): CassandraStatement[] {
  const { userId } = change;
  const where = [userId, conversationId];
  const raise = (query: string, position: bigint): CassandraStatement[] =>
    // Nobody has read to 0: that is what a position is before it is written.
    position === 0n
      ? []
      : [{ query, params: [timestampOf(epochNumber, position), position, ...where] }];
  switch (change.kind) {
    case "joined": {
      const values = [timestampOf(epochNumber, change.seq), change.seq, BigInt(nowMs)];
      const joined = { query: JOIN, params: [...values, ...where] };
      return [joined, ...raise(RAISE_READ_UNREAD_ORDINAL, change.unreadOrdinal)];
    }
    case "left": {
      const { seq, messageId, unreadOrdinal } = change;
      const values = [seq, messageId, unreadOrdinal, BigInt(nowMs)];
      const params = [timestampOf(epochNumber, seq), ...values, ...where];
      return [{ query: LEAVE, params }];
    }
    case "read":
      return [
        ...raise(RAISE_READ_SEQ, change.readSeq),
        ...raise(RAISE_READ_UNREAD_ORDINAL, change.readUnreadOrdinal),
      ];
  }
}
