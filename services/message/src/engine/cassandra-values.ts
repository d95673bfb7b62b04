/** From columns to what the port speaks of, and the write timestamps that decide which of two writes is newer. */
import type { CassandraRow } from "@parley/platform/storage/engine/cassandra";
import type {
  ClosedWindow,
  ConversationState,
  Member,
  StoredReceipt,
  StoredRow,
} from "../domain/conversation.ts";
import type { DedupeEntry, DedupeKey } from "../domain/dedupe.ts";
import type { Checkpoint, StoredParkedRecord } from "../ports.ts";

/** Offsets and positions below the log's epoch: 17 million million of each. */
const POSITION_BITS = 44n;

/**
 * The write timestamp of something that comes from an offset or a position, with the number of the log's epoch
 * above it. Engines read timestamps as microseconds: the first log's are days of 1970, and a hundredth log's would
 * be of today. ScyllaDB refuses those that are ahead of its clock.
 */
export function timestampOf(epochNumber: number, position: number): bigint {
  const low = BigInt(position);
  if (low < 0n || low >> POSITION_BITS !== 0n) {
    throw new RangeError(`${position} is no offset or position`);
  }
  return (BigInt(epochNumber) << POSITION_BITS) | low;
}

/** `bigint` columns; null, which was never written, is 0. */
export function toNumber(value: unknown): number {
  return Number(value ?? 0);
}

function toBigInt(value: unknown): bigint {
  return typeof value === "bigint" ? value : 0n;
}

/** A head with its members, from the rows of its partition; undefined if it has no head. */
export function toState(
  conversationId: string,
  rows: readonly CassandraRow[],
): ConversationState | undefined {
  const head = rows[0];
  if (head === undefined || head.last_processed_offset === null) return undefined;
  return {
    conversationId,
    kind: Number(head.kind) as ConversationState["kind"],
    encryptionMode: Number(head.encryption_mode) as ConversationState["encryptionMode"],
    directUserIds: Array.isArray(head.direct_user_ids) ? head.direct_user_ids.map(String) : [],
    lastSeq: toNumber(head.last_seq),
    lastMessageId: toBigInt(head.last_message_id),
    lastProcessedOffset: toNumber(head.last_processed_offset),
    lastAppendTimeMs: toNumber(head.last_append_time_ms),
    unreadOrdinal: toNumber(head.unread_ordinal),
    membershipVersion: toNumber(head.membership_version),
    members: toMembers(rows),
  };
}

function toMembers(rows: readonly CassandraRow[]): ReadonlyMap<string, Member> {
  const members = new Map<string, Member>();
  for (const row of rows) {
    // A conversation without members is one row, with nothing but the head.
    if (typeof row.user_id !== "string") continue;
    const member = { joinedSeq: toNumber(row.joined_seq), maySend: row.may_send === true };
    members.set(row.user_id, member);
  }
  return members;
}

export function toStoredRow(row: CassandraRow): StoredRow {
  return {
    seq: toNumber(row.seq),
    messageId: toBigInt(row.message_id),
    offset: toNumber(row.log_offset),
    appendTimeMs: toNumber(row.append_time_ms),
    unreadOrdinal: toNumber(row.unread_ordinal),
    membershipVersion: toNumber(row.membership_version),
    senderUserId: String(row.sender_user_id),
    event: row.event instanceof Uint8Array ? row.event : new Uint8Array(),
  };
}

export function toDedupeEntry(key: DedupeKey, row: CassandraRow): DedupeEntry {
  return {
    key,
    offset: toNumber(row.log_offset),
    seq: toNumber(row.seq),
    messageId: toBigInt(row.message_id),
    appendTimeMs: toNumber(row.append_time_ms),
  };
}

export function toClosedWindow(userId: string, row: CassandraRow): ClosedWindow {
  return { userId, joinedSeq: toNumber(row.joined_seq), leftSeq: toNumber(row.left_seq) };
}

/** The positions were written apart, each with its time; the time of both is the later. */
export function toReceipt(userId: string, row: CassandraRow): StoredReceipt {
  const readSeq = toNumber(row.read_seq);
  return {
    userId,
    deliveredSeq: Math.max(toNumber(row.delivered_seq), readSeq),
    readSeq,
    updateTimeMs: Math.max(toNumber(row.delivered_time_ms), toNumber(row.read_time_ms)),
  };
}

export function toCheckpoint(row: CassandraRow): Checkpoint {
  return { replayOffset: toNumber(row.replay_offset), endOffset: toNumber(row.end_offset) };
}

export function toParkedRecord(row: CassandraRow): StoredParkedRecord {
  return {
    topic: String(row.topic),
    partition: Number(row.log_partition),
    offset: toNumber(row.log_offset),
    appendTimeMs: toNumber(row.append_time_ms),
    sizeBytes: toNumber(row.size_bytes),
    reason: String(row.reason),
  };
}
