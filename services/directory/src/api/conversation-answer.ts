/** Conversations, members and links as the contract shows them. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ConversationPreferencesSchema,
  type ConversationSchema,
  type InviteLinkSchema,
  type MemberSchema,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { ConversationStore, ConversationView } from "../conversation-ports.ts";
import type { Membership } from "../domain/conversation.ts";
import { type InviteState, usesLeft } from "../domain/conversation-invite.ts";
import { requireView } from "./conversation-handler.ts";

/** A conversation as one person sees it; former members without a role. */
export function toConversationMessage(
  view: ConversationView,
  userId: string,
): MessageInitShape<typeof ConversationSchema> {
  const { conversation, membership, muteUntilTimeMs } = view;
  const { conversationId, kind, encryptionMode, title, memberCount } = conversation;
  return {
    conversationId,
    kind,
    encryptionMode,
    title,
    membershipVersion: BigInt(conversation.membershipVersion),
    memberCount,
    ownRole: membership?.role ?? Role.UNSPECIFIED,
    peerUserId: conversation.directUserIds?.find((id) => id !== userId) ?? "",
    createTime: timestampFromMs(conversation.createTimeMs),
    preferences: toPreferencesMessage(conversationId, muteUntilTimeMs),
  };
}

/** Reads a conversation again for an answer, as it is by now. */
export async function answerConversation(
  conversations: Pick<ConversationStore, "read">,
  conversationId: string,
  userId: string,
): Promise<{ conversation: MessageInitShape<typeof ConversationSchema> }> {
  const view = await requireView(conversations, conversationId, userId);
  return { conversation: toConversationMessage(view, userId) };
}

export function toPreferencesMessage(
  conversationId: string,
  muteUntilTimeMs: number | undefined,
): MessageInitShape<typeof ConversationPreferencesSchema> {
  if (muteUntilTimeMs === undefined) return { conversationId };
  return { conversationId, muteUntilTime: timestampFromMs(muteUntilTimeMs) };
}

export function toMemberMessage(member: Membership): MessageInitShape<typeof MemberSchema> {
  const { userId, role, joinTimeMs } = member;
  return { userId, role, joinTime: timestampFromMs(joinTimeMs) };
}

export function toInviteLinkMessage(
  invite: InviteState,
): MessageInitShape<typeof InviteLinkSchema> {
  const { inviteCode, conversationId, creatorUserId, useCount } = invite;
  return {
    inviteCode,
    conversationId,
    creatorUserId,
    expireTime: timestampFromMs(invite.expireTimeMs),
    useLimit: usesLeft(invite),
    useCount,
  };
}
