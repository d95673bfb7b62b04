/** Rows as the domain sees them, and back. */
import {
  ConversationKind,
  EncryptionMode,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { ConversationView } from "../conversation-ports.ts";
import type { ConversationState, Membership } from "../domain/conversation.ts";
import type { InviteState } from "../domain/conversation-invite.ts";
import type {
  ConversationMemberRow,
  ConversationRow,
  InviteLinkRow,
} from "./conversation-schema.ts";

export function toConversation(row: ConversationRow): ConversationState {
  const { direct_low_user_id: low, direct_high_user_id: high } = row;
  return {
    conversationId: row.conversation_id,
    kind: known(ConversationKind, row.kind),
    encryptionMode: known(EncryptionMode, row.encryption_mode),
    title: row.title,
    membershipVersion: row.membership_version,
    memberCount: row.member_count,
    directUserIds: low === null || high === null ? undefined : [low, high],
    createTimeMs: row.create_time_ms,
    changeTimeMs: row.change_time_ms,
  };
}

export function fromConversation(conversation: ConversationState): ConversationRow {
  return {
    conversation_id: conversation.conversationId,
    kind: conversation.kind,
    encryption_mode: conversation.encryptionMode,
    title: conversation.title,
    membership_version: conversation.membershipVersion,
    member_count: conversation.memberCount,
    direct_low_user_id: conversation.directUserIds?.[0] ?? null,
    direct_high_user_id: conversation.directUserIds?.[1] ?? null,
    create_time_ms: conversation.createTimeMs,
    change_time_ms: conversation.changeTimeMs,
  };
}

export function toMembership(row: Omit<ConversationMemberRow, "conversation_id">): Membership {
  return {
    userId: row.user_id,
    role: known(Role, row.role),
    removed: row.removed !== 0,
    maySend: row.may_send !== 0,
    joinVersion: row.join_version,
    joinTimeMs: row.join_time_ms,
  };
}

/** What a decision writes of a membership; a person's own settings stay as they are. */
export function fromMembership(member: Membership) {
  return {
    user_id: member.userId,
    role: member.role,
    removed: member.removed ? 1 : 0,
    may_send: member.maySend ? 1 : 0,
    join_version: member.joinVersion,
    join_time_ms: member.joinTimeMs,
  };
}

export function toView(
  conversation: ConversationRow,
  member: ConversationMemberRow | undefined,
): ConversationView {
  return {
    conversation: toConversation(conversation),
    membership: member === undefined ? undefined : toMembership(member),
    muteUntilTimeMs: member?.mute_until_time_ms ?? undefined,
  };
}

export function toInvite(row: InviteLinkRow): InviteState {
  return {
    inviteCode: row.invite_code,
    conversationId: row.conversation_id,
    creatorUserId: row.creator_user_id,
    createTimeMs: row.create_time_ms,
    expireTimeMs: row.expire_time_ms,
    useLimit: row.use_limit,
    useCount: row.use_count,
    revoked: row.revoked !== 0,
  };
}

export function fromInvite(invite: InviteState): InviteLinkRow {
  return {
    invite_code: invite.inviteCode,
    conversation_id: invite.conversationId,
    creator_user_id: invite.creatorUserId,
    create_time_ms: invite.createTimeMs,
    expire_time_ms: invite.expireTimeMs,
    use_limit: invite.useLimit,
    use_count: invite.useCount,
    revoked: invite.revoked ? 1 : 0,
  };
}

/** Rows are written by this code, so a number that the contract does not know is damage. */
function known<T extends Readonly<Record<string, number>>>(values: T, value: number): T[keyof T] {
  for (const candidate of Object.values(values)) {
    if (candidate === value) return candidate as T[keyof T];
  }
  throw new Error(`a row holds ${value}, which is none of ${Object.keys(values).join(", ")}`);
}
