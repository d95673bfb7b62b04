/** From entries of one conversation to what is written and who is told. */
import {
  type ConversationChange,
  ConversationKind,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { FanoutEntry } from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import {
  type Conversation,
  changeMembers,
  type Head,
  type Members,
  NO_HEAD,
  NO_MEMBERS,
  recipientsAt,
} from "./conversation.ts";
import type { RowChange } from "./inbox-row.ts";

/** Consecutive entries that go to the same people. */
export type Run = {
  readonly entries: readonly FanoutEntry[];
  readonly userIds: readonly string[];
};

export type Plan = {
  readonly conversation: Conversation;
  readonly rows: readonly RowChange[];
  readonly runs: readonly Run[];
  /** The place that should have come first, when entries of a direct conversation skip some. */
  readonly missingSeq: bigint | undefined;
  /** The version that should have come first, when a change of a group whose members are known skips some. */
  readonly missingVersion: bigint | undefined;
};

export type PlanInput = {
  readonly conversationId: string;
  readonly kind: ConversationKind;
  /** In the order of the log; may begin with entries that were handled before. */
  readonly entries: readonly FanoutEntry[];
  /** The two people of a direct conversation; empty in a group. */
  readonly directUserIds: readonly string[];
};

/** Decides. `known` is the conversation as it is stored; undefined before its first entry. */
export function planEntries(known: Conversation | undefined, input: PlanInput): Plan {
  const rows: RowChange[] = [];
  const reads = new Map<string, RowChange & { kind: "read" }>();
  const runs: { entries: FanoutEntry[]; userIds: readonly string[] }[] = [];
  let head = known?.head ?? NO_HEAD;
  let members = known?.members ?? membersOfPair(input, rows);
  let missingVersion: bigint | undefined;
  for (const entry of input.entries) {
    if (entry.change !== undefined && entry.change.membershipVersion > members.version) {
      if (skipsChanges(members, entry.change, input)) missingVersion ??= members.version + 1n;
      members = applyChange(members, entry, entry.change, rows);
    }
    // A change without a place is shown to nobody.
    if (entry.seq === 0n) continue;
    if (entry.seq > head.seq) head = headOf(entry);
    if (entry.change === undefined) noteRead(reads, entry);
    const userIds = recipientsAt(members, entry.seq);
    if (userIds.length === 0) continue;
    const last = runs.at(-1);
    if (last !== undefined && last.userIds === userIds) last.entries.push(entry);
    else runs.push({ entries: [entry], userIds });
  }
  const { conversationId, kind } = input;
  const conversation = { conversationId, kind: known?.kind ?? kind, head, members };
  const missingSeq = kind === ConversationKind.DIRECT ? findMissing(known, input) : undefined;
  return { conversation, rows: [...rows, ...reads.values()], runs, missingSeq, missingVersion };
}

/**
 * Changes of a group come through the log, each once and in order. One that is not there is lost: its record
 * cannot be read, or the parts have been put back from different backups. What came is applied all the same:
 * a group must not stand still for ever. Where no member is known, the log does not reach back to the first.
 */
function skipsChanges(members: Members, change: ConversationChange, { kind }: PlanInput): boolean {
  const known = kind === ConversationKind.GROUP && members.version > 0n;
  return known && change.membershipVersion > members.version + 1n;
}

/**
 * Entries of a direct conversation come once and in order, and are not asked for again once they were
 * answered: a step over some means that the inboxes are older than the messages. (Those of a group come
 * through the log, from which an older store catches up.)
 */
function findMissing(known: Conversation | undefined, { entries }: PlanInput): bigint | undefined {
  const next = (known?.head.seq ?? 0n) + 1n;
  const first = entries.find(({ seq }) => seq > 0n)?.seq ?? next;
  return first > next ? next : undefined;
}

/** The pair of a direct conversation belongs to it from the beginning, whatever entry comes first. */
function membersOfPair({ directUserIds }: PlanInput, rows: RowChange[]): Members {
  if (directUserIds.length === 0) return NO_MEMBERS;
  return join(NO_MEMBERS, { version: 0n, seq: 1n, unreadOrdinal: 0n }, directUserIds, rows);
}

function applyChange(
  members: Members,
  entry: FanoutEntry,
  change: ConversationChange,
  rows: RowChange[],
): Members {
  const { seq, messageId, unreadOrdinal } = entry;
  const at = { version: change.membershipVersion, seq, unreadOrdinal };
  const leave = (userId: string) => {
    rows.push({ kind: "left", userId, seq, messageId, unreadOrdinal });
    return changeMembers(members, { ...at, joined: [], left: [userId] });
  };
  const { actorUserId } = change;
  switch (change.change.case) {
    case "created": {
      const userIds = change.change.value.members.map(({ userId }) => userId);
      return join(members, at, userIds, rows);
    }
    case "membersAdded":
      return join(members, at, change.change.value.userIds, rows);
    case "memberJoined":
      return join(members, at, [actorUserId], rows);
    case "memberRemoved":
      return leave(change.change.value.userId);
    case "memberLeft":
      return leave(actorUserId);
    default:
      return { ...members, version: change.membershipVersion };
  }
}

function join(
  members: Members,
  at: { readonly version: bigint; readonly seq: bigint; readonly unreadOrdinal: bigint },
  userIds: readonly string[],
  rows: RowChange[],
): Members {
  const { seq, unreadOrdinal } = at;
  for (const userId of userIds) {
    if (members.userIds.includes(userId)) continue;
    rows.push({ kind: "joined", userId, seq, unreadOrdinal });
  }
  return changeMembers(members, { ...at, joined: userIds, left: [] });
}

function headOf({ seq, messageId, unreadOrdinal, offset }: FanoutEntry): Head {
  return { seq, messageId, unreadOrdinal, offset };
}

/** Who sends has read everything before, and what they sent. */
function noteRead(reads: Map<string, RowChange & { kind: "read" }>, entry: FanoutEntry): void {
  const { senderUserId: userId, seq: readSeq, unreadOrdinal: readUnreadOrdinal } = entry;
  const known = reads.get(userId);
  if (known !== undefined && known.readSeq >= readSeq) return;
  reads.set(userId, { kind: "read", userId, readSeq, readUnreadOrdinal });
}
