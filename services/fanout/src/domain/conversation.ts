/** What fan-out knows of a conversation: its newest entry, and who is told. */
import type { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";

/** The newest entry of a conversation. */
export type Head = {
  readonly seq: bigint;
  readonly messageId: bigint;
  /** The conversation's unread ordinal at this entry. */
  readonly unreadOrdinal: bigint;
  /** The entry's offset in the log. */
  readonly offset: bigint;
};

/** One person's time in a conversation, from the entry of their joining to that of their leaving, both included. */
export type Membership = {
  readonly userId: string;
  readonly firstSeq: bigint;
  /** 0 while they are a member. */
  readonly leftSeq: bigint;
};

export type Members = {
  /** The membership version of the newest change that is in here. */
  readonly version: bigint;
  /** The entry at which people last came or went; 0 before the first. */
  readonly changedSeq: bigint;
  readonly present: readonly Membership[];
  /** Who left, the newest DEPARTED_MAX of them: for entries that are delivered again. */
  readonly departed: readonly Membership[];
  /** The ids of `present`, as one array that all deliveries share. Never changed in place. */
  readonly userIds: readonly string[];
};

export type Conversation = {
  readonly conversationId: string;
  readonly kind: ConversationKind;
  readonly head: Head;
  readonly members: Members;
};

/**
 * Departures that a conversation remembers. They matter only for entries that are delivered again after a
 * crash; more people than this do not leave a group within the seconds that a replay covers.
 */
export const DEPARTED_MAX = 256;

export const NO_HEAD: Head = { seq: 0n, messageId: 0n, unreadOrdinal: 0n, offset: 0n };

export const NO_MEMBERS: Members = {
  version: 0n,
  changedSeq: 0n,
  present: [],
  departed: [],
  userIds: [],
};

/** The members after people came and went at one entry. Who is there already does not come again. */
export function changeMembers(
  members: Members,
  change: {
    readonly version: bigint;
    readonly seq: bigint;
    readonly joined: readonly string[];
    readonly left: readonly string[];
  },
): Members {
  const { version, seq } = change;
  const gone = new Set(change.left);
  const departing = members.present.filter(({ userId }) => gone.has(userId));
  const there = new Set(members.userIds);
  const coming = change.joined.filter((userId) => !there.has(userId));
  if (departing.length === 0 && coming.length === 0) return { ...members, version };
  const present = [
    ...members.present.filter(({ userId }) => !gone.has(userId)),
    ...coming.map((userId) => ({ userId, firstSeq: seq, leftSeq: 0n })),
  ];
  const departed = [
    ...members.departed,
    ...departing.map((membership) => ({ ...membership, leftSeq: seq })),
  ].slice(-DEPARTED_MAX);
  const userIds = present.map(({ userId }) => userId);
  return { version, changedSeq: seq, present, departed, userIds };
}

/**
 * Who gets the entry at `seq`: whose membership it falls into. So an entry that is delivered again reaches
 * those who were members then, a removal reaches the removed person, and nothing after it does.
 */
export function recipientsAt(members: Members, seq: bigint): readonly string[] {
  if (seq > members.changedSeq) return members.userIds;
  // The newest change itself: all are there, unless somebody left by it. `departed` is in order of leaving.
  if (seq === members.changedSeq && members.departed.at(-1)?.leftSeq !== seq) {
    return members.userIds;
  }
  return [
    ...members.present.filter(({ firstSeq }) => firstSeq <= seq),
    ...members.departed.filter(({ firstSeq, leftSeq }) => firstSeq <= seq && seq <= leftSeq),
  ].map(({ userId }) => userId);
}

/** The later of two states of one conversation, part by part: heads and members only grow. */
export function newerConversation(
  known: Conversation | undefined,
  next: Conversation,
): Conversation {
  if (known === undefined) return next;
  const head = next.head.seq > known.head.seq ? next.head : known.head;
  const members = next.members.version > known.members.version ? next.members : known.members;
  if (head === next.head && members === next.members) return next;
  return { ...next, head, members };
}
