/** What one person's inbox keeps of one conversation, and how it changes. */
import type { Head } from "./conversation.ts";

/** One conversation in one person's inbox. The newest entry is the conversation's, unless the person left. */
export type InboxRow = {
  /** Where the newest membership began. */
  readonly firstSeq: bigint;
  /** Where it ended; 0 while the person is a member. */
  readonly leftSeq: bigint;
  /** The id of the entry at `leftSeq`. */
  readonly leftMessageId: bigint;
  /** The unread ordinal at `leftSeq`. */
  readonly leftUnreadOrdinal: bigint;
  /** How far the person has read; only grows. */
  readonly readSeq: bigint;
  /** The unread ordinal up to which nothing is unread; only grows. */
  readonly readUnreadOrdinal: bigint;
};

/**
 * A change of a row. Applying one again, or after a later one, changes nothing: memberships go by their
 * `seq`, positions by being greater.
 */
export type RowChange =
  | {
      /** The person became a member; what came before is neither readable nor unread. */
      readonly kind: "joined";
      readonly userId: string;
      readonly seq: bigint;
      readonly unreadOrdinal: bigint;
    }
  | {
      /** The person left or was removed; the row stays as it is at that entry. */
      readonly kind: "left";
      readonly userId: string;
      readonly seq: bigint;
      readonly messageId: bigint;
      readonly unreadOrdinal: bigint;
    }
  | {
      /** The person has read so far. Without effect when there is no row. */
      readonly kind: "read";
      readonly userId: string;
      readonly readSeq: bigint;
      readonly readUnreadOrdinal: bigint;
    };

/** The row after a change; the same object when it changes nothing. */
export function changeRow(row: InboxRow | undefined, change: RowChange): InboxRow | undefined {
  switch (change.kind) {
    case "joined": {
      if (row !== undefined && change.seq <= larger(row.firstSeq, row.leftSeq)) return row;
      return {
        firstSeq: change.seq,
        leftSeq: 0n,
        leftMessageId: 0n,
        leftUnreadOrdinal: 0n,
        readSeq: row?.readSeq ?? 0n,
        readUnreadOrdinal: larger(row?.readUnreadOrdinal ?? 0n, change.unreadOrdinal),
      };
    }
    case "left": {
      if (row === undefined || change.seq <= larger(row.firstSeq, row.leftSeq)) return row;
      return {
        ...row,
        leftSeq: change.seq,
        leftMessageId: change.messageId,
        leftUnreadOrdinal: change.unreadOrdinal,
      };
    }
    case "read": {
      if (row === undefined) return row;
      const { readSeq, readUnreadOrdinal } = change;
      if (readSeq <= row.readSeq && readUnreadOrdinal <= row.readUnreadOrdinal) return row;
      return {
        ...row,
        readSeq: larger(row.readSeq, readSeq),
        readUnreadOrdinal: larger(row.readUnreadOrdinal, readUnreadOrdinal),
      };
    }
  }
}

/** A conversation as its person sees it in the inbox. */
export type InboxItem = {
  readonly conversationId: string;
  readonly firstSeq: bigint;
  readonly member: boolean;
  /** The newest entry that the person may read. */
  readonly lastSeq: bigint;
  readonly lastMessageId: bigint;
  readonly readSeq: bigint;
  readonly unreadCount: bigint;
};

/** Puts row and head together. What came after the person left does not exist for them. */
export function toInboxItem(conversationId: string, row: InboxRow, head: Head): InboxItem {
  const { firstSeq, readSeq, readUnreadOrdinal } = row;
  const member = row.leftSeq === 0n;
  const unreadOrdinal = member ? head.unreadOrdinal : row.leftUnreadOrdinal;
  return {
    conversationId,
    firstSeq,
    member,
    lastSeq: member ? head.seq : row.leftSeq,
    lastMessageId: member ? head.messageId : row.leftMessageId,
    readSeq,
    unreadCount: unreadOrdinal > readUnreadOrdinal ? unreadOrdinal - readUnreadOrdinal : 0n,
  };
}

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
