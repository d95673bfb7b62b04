/** What changes about a conversation while its people stay the same. */
import { ConversationKind, Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  type ConversationSnapshot,
  changeConversation,
  type Decision,
  isMember,
  type KnownRole,
  type Membership,
  refuse,
  UNCHANGED,
} from "./conversation.ts";
import { admitToGroup } from "./conversation-access.ts";

/** Gives a member a role; giving `OWNER` away makes the owner an admin. Names the actor and the person. */
export function updateMemberRole(
  snapshot: ConversationSnapshot,
  command: {
    readonly actorUserId: string;
    readonly userId: string;
    readonly role: KnownRole;
    readonly nowMs: number;
  },
): Decision {
  const { actorUserId, userId, role, nowMs } = command;
  const target = snapshot.members.get(userId);
  if (isRepeatedHandOver(snapshot, command)) return UNCHANGED;
  const admitted = admitToGroup(snapshot, actorUserId, Role.OWNER);
  if (admitted.kind === "refused") return admitted;
  if (!isMember(target)) return refuse({ reason: "MEMBER_NOT_FOUND", userId });
  if (target.role === role) return UNCHANGED;
  const members: Membership[] = [{ ...target, role }];
  if (role === Role.OWNER) members.push({ ...admitted.actor, role: Role.ADMIN });
  return changeConversation(snapshot, actorUserId, nowMs, {
    change: { case: "roleChanged", value: { userId, role } },
    members,
  });
}

/** Renames a group. Names the actor. */
export function updateTitle(
  snapshot: ConversationSnapshot,
  command: { readonly actorUserId: string; readonly title: string; readonly nowMs: number },
): Decision {
  const { actorUserId, title, nowMs } = command;
  const admitted = admitToGroup(snapshot, actorUserId, Role.ADMIN);
  if (admitted.kind === "refused") return admitted;
  if (snapshot.conversation.title === title) return UNCHANGED;
  return changeConversation(snapshot, actorUserId, nowMs, {
    change: { case: "titleChanged", value: { title } },
    title,
  });
}

/**
 * Lets a person of a direct conversation write, or not. The actor is the other person, whose block it is.
 * Names the person.
 */
export function updateSendPermission(
  snapshot: ConversationSnapshot,
  command: {
    readonly actorUserId: string;
    readonly userId: string;
    readonly maySend: boolean;
    readonly nowMs: number;
  },
): Decision {
  const { actorUserId, userId, maySend, nowMs } = command;
  const target = snapshot.members.get(userId);
  if (snapshot.conversation.kind !== ConversationKind.DIRECT || !isMember(target)) {
    return refuse({ reason: "CONVERSATION_NOT_FOUND" });
  }
  if (target.maySend === maySend) return UNCHANGED;
  return changeConversation(snapshot, actorUserId, nowMs, {
    change: { case: "sendPermissionChanged", value: { userId, maySend } },
    members: [{ ...target, maySend }],
  });
}

/** The owner until now repeats the call that made them an admin, because its answer was lost. */
function isRepeatedHandOver(
  snapshot: ConversationSnapshot,
  command: { readonly actorUserId: string; readonly userId: string; readonly role: KnownRole },
): boolean {
  if (command.role !== Role.OWNER) return false;
  const actor = snapshot.members.get(command.actorUserId);
  const target = snapshot.members.get(command.userId);
  return actor?.role === Role.ADMIN && target?.role === Role.OWNER;
}
