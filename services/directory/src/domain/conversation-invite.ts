/** Links through which people join a group by themselves. */
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { type ConversationSnapshot, type Refused, refuse } from "./conversation.ts";
import { type Admitted, admitToGroup } from "./conversation-access.ts";

/** A link as it is kept. */
export type InviteState = {
  readonly inviteCode: string;
  readonly conversationId: string;
  readonly creatorUserId: string;
  readonly createTimeMs: number;
  readonly expireTimeMs: number;
  /** How many people may use it in all; unlimited if 0. */
  readonly useLimit: number;
  /** How many people have used it. */
  readonly useCount: number;
  /** Somebody ended it before its time. */
  readonly revoked: boolean;
};

/** Whether the link still lets people in, as far as the link decides. */
export function isInviteLive(invite: InviteState, nowMs: number): boolean {
  if (invite.revoked || invite.expireTimeMs <= nowMs) return false;
  return invite.useLimit === 0 || invite.useCount < invite.useLimit;
}

/** How many more people may use the link; 0 means unlimited, so only meaningful for a live link. */
export function usesLeft(invite: InviteState): number {
  return Math.max(0, invite.useLimit - invite.useCount);
}

/** Admits who may see, make and end the links of a group. */
export function admitToInvites(
  snapshot: ConversationSnapshot,
  actorUserId: string,
): Admitted | Refused {
  return admitToGroup(snapshot, actorUserId, Role.ADMIN);
}

/** Admits who may make one more link while `liveLinks` are live. */
export function admitNewInvite(
  snapshot: ConversationSnapshot,
  command: {
    readonly actorUserId: string;
    readonly liveLinks: number;
    readonly linksMax: number;
  },
): Admitted | Refused {
  const { actorUserId, liveLinks, linksMax } = command;
  const admitted = admitToInvites(snapshot, actorUserId);
  if (admitted.kind === "refused") return admitted;
  return liveLinks < linksMax ? admitted : refuse({ reason: "INVITE_LIMIT", linksMax });
}
