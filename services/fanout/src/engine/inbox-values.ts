/** From columns to what the port speaks of, and the write timestamps that decide which of two writes is newer. */
import type { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { CassandraRow } from "@parley/platform/storage/engine/cassandra";
import {
  type Head,
  type Members,
  type Membership,
  NO_HEAD,
  NO_MEMBERS,
} from "../domain/conversation.ts";
import type { InboxRow } from "../domain/inbox-row.ts";
import type { LogPlace } from "../ports.ts";

/** Offsets, positions and versions below the log's epoch: 17 million million of each. */
const POSITION_BITS = 44n;

/**
 * The write timestamp of something that comes from an offset, a position or a version, with the number of the
 * log's epoch above it. Engines read timestamps as microseconds: the first log's are days of 1970, and a
 * hundredth log's would be of today. ScyllaDB refuses those that are ahead of its clock.
 */
export function timestampOf(epochNumber: number, position: bigint): bigint {
  if (position < 0n || position >> POSITION_BITS !== 0n) {
    throw new RangeError(`${position} is no offset, position or version`);
  }
  return (BigInt(epochNumber) << POSITION_BITS) | position;
}

export type StoredHead = {
  readonly kind: ConversationKind;
  readonly head: Head;
  /** When it was written, by the clock of who wrote it; 0 before the first entry. */
  readonly movedTimeMs: number;
  /** Undefined before members are known. */
  readonly membersVersion: bigint | undefined;
};

/** Undefined when there is nothing of the conversation. */
export function toStoredHead(row: CassandraRow | undefined): StoredHead | undefined {
  if (row === undefined || row.kind === null) return undefined;
  const head: Head = {
    seq: toBigInt(row.last_seq),
    messageId: toBigInt(row.last_message_id),
    unreadOrdinal: toBigInt(row.unread_ordinal),
    offset: toBigInt(row.log_offset),
  };
  return {
    kind: Number(row.kind) as ConversationKind,
    head: head.seq === 0n ? NO_HEAD : head,
    movedTimeMs: Number(row.moved_time_ms ?? 0),
    membersVersion: typeof row.members_version === "bigint" ? row.members_version : undefined,
  };
}

export function toMembers(row: CassandraRow): Members {
  if (typeof row.members_version !== "bigint") return NO_MEMBERS;
  const present = toMemberships(row.present_user_ids, row.present_first_seqs);
  return {
    version: row.members_version,
    changedSeq: toBigInt(row.members_changed_seq),
    present,
    departed: toMemberships(row.departed_user_ids, row.departed_first_seqs, row.departed_left_seqs),
    userIds: present.map(({ userId }) => userId),
  };
}

/** Lists of one write are equally long. */
function toMemberships(userIds: unknown, firstSeqs: unknown, leftSeqs?: unknown): Membership[] {
  const [first, left] = [toList(firstSeqs), toList(leftSeqs)];
  return toList(userIds).map((userId, at) => ({
    userId: String(userId),
    firstSeq: toBigInt(first[at]),
    leftSeq: toBigInt(left[at]),
  }));
}

export type StoredRow = {
  readonly row: InboxRow;
  /** When the person last joined or left, by the clock of who wrote it. */
  readonly movedTimeMs: number;
};

/** Undefined when the person never was a member: a read position alone makes nobody one. */
export function toStoredRow(columns: CassandraRow): StoredRow | undefined {
  if (typeof columns.first_seq !== "bigint") return undefined;
  return {
    row: {
      firstSeq: columns.first_seq,
      leftSeq: toBigInt(columns.left_seq),
      leftMessageId: toBigInt(columns.left_message_id),
      leftUnreadOrdinal: toBigInt(columns.left_unread_ordinal),
      readSeq: toBigInt(columns.read_seq),
      readUnreadOrdinal: toBigInt(columns.read_unread_ordinal),
    },
    movedTimeMs: Number(columns.moved_time_ms ?? 0),
  };
}

/**
 * The row as it counts beside its conversation's head; undefined when the person does not see the conversation.
 * `row` holds the last joining and the last leaving, whichever was later.
 *
 * Rows are written before the head, so a joining may be there whose entry is not yet the head's: between two
 * writes, or after a crash until it comes again. It counts from its entry on; until then the person is what they
 * were before, which is nothing, or somebody who left (of whose time only the last entry is known still).
 */
export function rowBeside(head: Head, row: InboxRow): InboxRow | undefined {
  if (row.leftSeq > row.firstSeq) return row;
  if (row.firstSeq <= head.seq) return asMember(row);
  return row.leftSeq > 0n ? { ...row, firstSeq: row.leftSeq } : undefined;
}

function asMember(row: InboxRow): InboxRow {
  return row.leftSeq === 0n
    ? row
    : { ...row, leftSeq: 0n, leftMessageId: 0n, leftUnreadOrdinal: 0n };
}

/** Undefined when nothing was written. */
export function toLogPlace(row: CassandraRow | undefined): LogPlace | undefined {
  if (row === undefined) return undefined;
  return {
    replayOffset: Number(row.replay_offset ?? 0),
    headsEndOffset: Number(row.heads_end_offset ?? 0),
  };
}

function toList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** `bigint` columns; null, which was never written, is 0. */
function toBigInt(value: unknown): bigint {
  return typeof value === "bigint" ? value : 0n;
}
