/** What the applier knows of a conversation: the whole state that its records are a function of. */
import type {
  ConversationKind,
  EncryptionMode,
} from "@parley/gen/parley/conversation/v1/conversation_pb";

/** A present member. */
export type Member = {
  /** The entry with which the person joined; the first that they may read. */
  readonly joinedSeq: number;
  /** False while the other person of a direct conversation blocks this one. */
  readonly maySend: boolean;
};

/** A membership that ended: from the entry of joining to that of leaving, both included. */
export type ClosedWindow = {
  readonly userId: string;
  readonly joinedSeq: number;
  readonly leftSeq: number;
};

/**
 * One conversation at one offset of its log. Never changed in place: each record gives a new state, so a
 * reader that holds one sees a consistent conversation for as long as it likes.
 */
export type ConversationState = {
  readonly conversationId: string;
  readonly kind: ConversationKind;
  readonly encryptionMode: EncryptionMode;
  /** The two people of a direct conversation in the order of their ids; empty in a group. */
  readonly directUserIds: readonly string[];
  /** The newest entry's place; 0 before the first. */
  readonly lastSeq: number;
  /** The newest entry's id; 0 before the first. */
  readonly lastMessageId: bigint;
  /** The newest record that was processed, whether it was accepted, refused or a duplicate. */
  readonly lastProcessedOffset: number;
  /** When the log took the newest entry, in ms since the Unix epoch. */
  readonly lastAppendTimeMs: number;
  /** How many entries count as unread for somebody who has read none. */
  readonly unreadOrdinal: number;
  readonly membershipVersion: number;
  /** Present members by user id. Former ones are in the store, as closed windows. */
  readonly members: ReadonlyMap<string, Member>;
};

/** One entry of a timeline as it is stored. */
export type StoredRow = {
  readonly seq: number;
  readonly messageId: bigint;
  /** The record's offset in topic `messages`. Grows with `seq`. */
  readonly offset: number;
  /** When the log took the record, in ms since the Unix epoch. May go back between two entries. */
  readonly appendTimeMs: number;
  readonly unreadOrdinal: number;
  /** The conversation's version when the entry took its place. Never falls with `seq`. */
  readonly membershipVersion: number;
  readonly senderUserId: string;
  /** The encoded `parley.realtime.v1.Event`. */
  readonly event: Uint8Array;
};

/** How far one member has come. Both positions only grow. */
export type StoredReceipt = {
  readonly userId: string;
  readonly deliveredSeq: number;
  readonly readSeq: number;
  /** When a position last grew, in ms since the Unix epoch; 0 if never. */
  readonly updateTimeMs: number;
};

/** What raising did. */
export type RaisedReceipt = {
  /** The positions as they are stored now. */
  readonly receipt: StoredReceipt;
  /** True if this raised `deliveredSeq`. */
  readonly deliveredGrew: boolean;
};

/** The positions after both were taken in: the higher of each. `known` itself if nothing grew. */
export function raiseReceipt(known: StoredReceipt, next: StoredReceipt): StoredReceipt {
  const readSeq = Math.max(known.readSeq, next.readSeq);
  const deliveredSeq = Math.max(known.deliveredSeq, next.deliveredSeq, readSeq);
  if (readSeq === known.readSeq && deliveredSeq === known.deliveredSeq) return known;
  return { userId: known.userId, deliveredSeq, readSeq, updateTimeMs: next.updateTimeMs };
}

/** The positions of somebody who never moved them. */
export function noReceipt(userId: string): StoredReceipt {
  return { userId, deliveredSeq: 0, readSeq: 0, updateTimeMs: 0 };
}
