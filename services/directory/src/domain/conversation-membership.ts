/** Who comes and who goes. */
import { ConversationKind, Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  type ConversationSnapshot,
  changeConversation,
  type Decision,
  isMember,
  joinedMember,
  type Membership,
  type Refused,
  refuse,
  UNCHANGED,
} from "./conversation.ts";
import { admitToGroup, mayRemove } from "./conversation-access.ts";
import { type PeopleFacts, refuseStrangers } from "./conversation-creation.ts";
import { type InviteState, isInviteLive } from "./conversation-invite.ts";

/** Adds all the people who are not members yet, or none. Names the actor and the people. */
export function addMembers(
  snapshot: ConversationSnapshot,
  command: {
    readonly actorUserId: string;
    readonly userIds: readonly string[];
    readonly facts: PeopleFacts;
    readonly membersMax: number;
    readonly nowMs: number;
  },
): Decision {
  const { actorUserId, nowMs, membersMax } = command;
  const admitted = admitToGroup(snapshot, actorUserId, Role.ADMIN);
  if (admitted.kind === "refused") return admitted;
  const userIds = [...new Set(command.userIds)].filter((id) => !isMember(snapshot.members.get(id)));
  if (userIds.length === 0) return UNCHANGED;
  const refused =
    refuseStrangers(userIds, command.facts) ?? refuseFull(snapshot, userIds.length, membersMax);
  if (refused !== undefined) return refused;
  return changeConversation(snapshot, actorUserId, nowMs, {
    change: { case: "membersAdded", value: { userIds } },
    members: userIds.map((userId) => joinedMember(snapshot.conversation, userId, nowMs)),
  });
}

/** Removes another member of a lower role. Names the actor and the person. */
export function removeMember(
  snapshot: ConversationSnapshot,
  command: { readonly actorUserId: string; readonly userId: string; readonly nowMs: number },
): Decision {
  const { actorUserId, userId, nowMs } = command;
  const admitted = admitToGroup(snapshot, actorUserId, Role.ADMIN);
  if (admitted.kind === "refused") return admitted;
  const target = snapshot.members.get(userId);
  if (!isMember(target)) return UNCHANGED;
  if (!mayRemove(admitted.actor.role, target.role)) {
    return refuse({ reason: "ROLE_INSUFFICIENT", needed: Role.OWNER });
  }
  return changeConversation(snapshot, actorUserId, nowMs, {
    change: { case: "memberRemoved", value: { userId } },
    members: [{ ...target, role: Role.UNSPECIFIED, removed: true }],
  });
}

/** Takes the actor out; an owner hands over to the heir. Names the actor, and needs the heir. */
export function leaveConversation(
  snapshot: ConversationSnapshot,
  command: { readonly actorUserId: string; readonly nowMs: number },
): Decision {
  const { actorUserId, nowMs } = command;
  const { conversation, heir } = snapshot;
  const actor = snapshot.members.get(actorUserId);
  if (actor === undefined) return refuse({ reason: "CONVERSATION_NOT_FOUND" });
  if (conversation.kind !== ConversationKind.GROUP) return refuse({ reason: "NOT_A_GROUP" });
  if (!isMember(actor)) return UNCHANGED;
  const members: Membership[] = [{ ...actor, role: Role.UNSPECIFIED, removed: false }];
  const newOwner = actor.role === Role.OWNER ? heir : undefined;
  if (newOwner !== undefined) members.push({ ...newOwner, role: Role.OWNER });
  return changeConversation(snapshot, actorUserId, nowMs, {
    change: { case: "memberLeft", value: { newOwnerUserId: newOwner?.userId ?? "" } },
    members,
  });
}

/** Takes the actor in through a link. Names the actor. */
export function joinByInvite(
  snapshot: ConversationSnapshot,
  command: {
    readonly actorUserId: string;
    readonly invite: InviteState;
    readonly membersMax: number;
    readonly nowMs: number;
  },
): Decision {
  const { actorUserId, invite, membersMax, nowMs } = command;
  const actor = snapshot.members.get(actorUserId);
  // Before the link is looked at: who joined with the last use of it, and lost the answer, repeats.
  if (isMember(actor)) return UNCHANGED;
  if (!isInviteLive(invite, nowMs) || snapshot.conversation.memberCount === 0) {
    return refuse({ reason: "INVITE_NOT_FOUND" });
  }
  if (actor?.removed === true) return refuse({ reason: "REMOVED" });
  const refused = refuseFull(snapshot, 1, membersMax);
  if (refused !== undefined) return refused;
  return changeConversation(snapshot, actorUserId, nowMs, {
    change: { case: "memberJoined", value: {} },
    members: [joinedMember(snapshot.conversation, actorUserId, nowMs)],
  });
}

function refuseFull(
  snapshot: ConversationSnapshot,
  joining: number,
  membersMax: number,
): Refused | undefined {
  const fits = snapshot.conversation.memberCount + joining <= membersMax;
  return fits ? undefined : refuse({ reason: "GROUP_FULL", membersMax });
}
