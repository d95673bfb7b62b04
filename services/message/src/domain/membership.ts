/** What a change does to a conversation's members. */
import type { ConversationChange } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { ClosedWindow, ConversationState, Member } from "./conversation.ts";

/** What a change writes besides the state itself. */
export type MembershipEffects = {
  readonly members: ReadonlyMap<string, Member>;
  /** Members that are new or have another permission. */
  readonly put: readonly string[];
  /** Members that are none any more. */
  readonly removed: readonly string[];
  readonly closed: readonly ClosedWindow[];
};

/** True for the changes that have a place in the timeline: all but a permission to write. */
export function takesPlace(change: ConversationChange): boolean {
  return change.change.case !== "sendPermissionChanged";
}

/** The conversation that a `created` begins, before anything in it; undefined for any other change. */
export function beginConversation(
  conversationId: string,
  change: ConversationChange,
): ConversationState | undefined {
  if (change.change.case !== "created") return undefined;
  const { kind, encryptionMode, members } = change.change.value;
  const direct = kind === ConversationKind.DIRECT;
  return {
    conversationId,
    kind,
    encryptionMode,
    directUserIds: direct ? members.map(({ userId }) => userId).sort() : [],
    lastSeq: 0,
    lastMessageId: 0n,
    lastProcessedOffset: -1,
    lastAppendTimeMs: 0,
    unreadOrdinal: 0,
    membershipVersion: 0,
    members: new Map(),
  };
}

/**
 * The members after the change that takes `seq`. Somebody who is there already does not join again, and
 * somebody who is not there does not leave: the directory decides, and a change says what came of it.
 */
export function changeMembers(
  members: ReadonlyMap<string, Member>,
  change: ConversationChange,
  seq: number,
): MembershipEffects {
  const { actorUserId } = change;
  switch (change.change.case) {
    case "created":
      return join(
        members,
        change.change.value.members.map(({ userId }) => userId),
        seq,
      );
    case "membersAdded":
      return join(members, change.change.value.userIds, seq);
    case "memberJoined":
      return join(members, [actorUserId], seq);
    case "memberRemoved":
      return leave(members, change.change.value.userId, seq);
    case "memberLeft":
      return leave(members, actorUserId, seq);
    case "sendPermissionChanged":
      return permit(members, change.change.value.userId, change.change.value.maySend);
    default:
      return unchanged(members);
  }
}

/**
 * True if the state, which has the change's version, shows that another change made it. That can be seen of a
 * permission to write, which has no row that could be compared: its version is the newest and the member's
 * permission is another one. What was changed since hides it.
 */
export function contradicts(state: ConversationState, change: ConversationChange): boolean {
  if (change.change.case !== "sendPermissionChanged") return false;
  if (Number(change.membershipVersion) !== state.membershipVersion) return false;
  const { userId, maySend } = change.change.value;
  const member = state.members.get(userId);
  return member !== undefined && member.maySend !== maySend;
}

function unchanged(members: ReadonlyMap<string, Member>): MembershipEffects {
  return { members, put: [], removed: [], closed: [] };
}

function join(
  members: ReadonlyMap<string, Member>,
  userIds: readonly string[],
  seq: number,
): MembershipEffects {
  const put = [...new Set(userIds)].filter((userId) => !members.has(userId));
  if (put.length === 0) return unchanged(members);
  const after = new Map(members);
  for (const userId of put) after.set(userId, { joinedSeq: seq, maySend: true });
  return { members: after, put, removed: [], closed: [] };
}

function leave(
  members: ReadonlyMap<string, Member>,
  userId: string,
  seq: number,
): MembershipEffects {
  const member = members.get(userId);
  if (member === undefined) return unchanged(members);
  const after = new Map(members);
  after.delete(userId);
  const closed = [{ userId, joinedSeq: member.joinedSeq, leftSeq: seq }];
  return { members: after, put: [], removed: [userId], closed };
}

function permit(
  members: ReadonlyMap<string, Member>,
  userId: string,
  maySend: boolean,
): MembershipEffects {
  const member = members.get(userId);
  if (member === undefined || member.maySend === maySend) return unchanged(members);
  const after = new Map(members).set(userId, { ...member, maySend });
  return { members: after, put: [userId], removed: [], closed: [] };
}
