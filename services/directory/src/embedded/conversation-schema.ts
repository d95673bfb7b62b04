/** The conversation half's tables. Times are ms since the Unix epoch; booleans are 0 and 1. */

export type ConversationRow = {
  conversation_id: string;
  /** `ConversationKind` of the contract. */
  kind: number;
  /** `EncryptionMode` of the contract. */
  encryption_mode: number;
  title: string;
  membership_version: number;
  member_count: number;
  /** The two people of a direct conversation, smaller id first; null in a group. */
  direct_low_user_id: string | null;
  direct_high_user_id: string | null;
  create_time_ms: number;
  change_time_ms: number;
};

export type ConversationMemberRow = {
  conversation_id: string;
  user_id: string;
  /** `Role` of the contract; 0 for a former member, whose row stays. */
  role: number;
  removed: number;
  may_send: number;
  join_version: number;
  join_time_ms: number;
  /** The person's own setting; null if not muted. */
  mute_until_time_ms: number | null;
};

export type InviteLinkRow = {
  invite_code: string;
  conversation_id: string;
  creator_user_id: string;
  create_time_ms: number;
  expire_time_ms: number;
  use_limit: number;
  use_count: number;
  revoked: number;
};

export type GroupCreationRow = {
  user_id: string;
  request_id: string;
  conversation_id: string;
  create_time_ms: number;
};

export type ConversationOutboxRow = {
  conversation_id: string;
  membership_version: number;
  /** An encoded `parley.internal.message.v1.ConversationChanged`. */
  change: Uint8Array;
  trace_parent: string;
};

export type ConversationTables = {
  conversations: ConversationRow;
  conversation_members: ConversationMemberRow;
  invite_links: InviteLinkRow;
  group_creations: GroupCreationRow;
  conversation_outbox: ConversationOutboxRow;
};
