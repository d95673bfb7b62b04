/** The nouns of conversations, and what a decision about one looks like. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ConversationChange,
  ConversationChangeSchema,
  type ConversationKind,
  type EncryptionMode,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";

/** A role of the contract; `UNSPECIFIED` is the role of who is no member (any more). */
export type KnownRole = (typeof Role)[keyof typeof Role];
export type KnownKind = (typeof ConversationKind)[keyof typeof ConversationKind];
export type KnownEncryptionMode = (typeof EncryptionMode)[keyof typeof EncryptionMode];

/** What is true of a conversation as a whole. */
export type ConversationState = {
  readonly conversationId: string;
  readonly kind: KnownKind;
  readonly encryptionMode: KnownEncryptionMode;
  /** Empty in a direct conversation. */
  readonly title: string;
  /** Of the last change; the first change of a conversation is 1. */
  readonly membershipVersion: number;
  /** Present members. A group with none is over and never comes back. */
  readonly memberCount: number;
  /** The two people of a direct conversation in the order of their ids. */
  readonly directUserIds: readonly [string, string] | undefined;
  /** Milliseconds since the Unix epoch, as are all times here. */
  readonly createTimeMs: number;
  /** When the last change was decided; never goes back, whatever the clock does. */
  readonly changeTimeMs: number;
};

/** What is true of one person in a conversation, also after they left. */
export type Membership = {
  readonly userId: string;
  /** `UNSPECIFIED` for a former member. */
  readonly role: KnownRole;
  /** An admin removed the person, and nobody has added them since: a link does not bring them back. */
  readonly removed: boolean;
  /** False while the other person of the direct conversation blocks this one. */
  readonly maySend: boolean;
  /** The membership version of the change by which they joined, the last time if more than once. */
  readonly joinVersion: number;
  readonly joinTimeMs: number;
};

/** What a decision looks at, read under the conversation's lock. */
export type ConversationSnapshot = {
  readonly conversation: ConversationState;
  /** The present and former members among the people whom the command names, its actor included. */
  readonly members: ReadonlyMap<string, Membership>;
  /** Who becomes owner if the actor leaves: the longest-serving admin, or else member, except the actor. */
  readonly heir: Membership | undefined;
};

/** Why something is not done. The reasons and whom they are told are the contract's. */
export type ConversationRefusal =
  | { readonly reason: "CONVERSATION_NOT_FOUND" }
  | { readonly reason: "ROLE_INSUFFICIENT"; readonly needed: KnownRole }
  | { readonly reason: "NOT_A_GROUP" }
  | { readonly reason: "GROUP_FULL"; readonly membersMax: number }
  | { readonly reason: "USER_NOT_FOUND"; readonly userIds: readonly string[] }
  | { readonly reason: "BLOCKED"; readonly userIds: readonly string[] }
  | { readonly reason: "MEMBER_NOT_FOUND"; readonly userId: string }
  | { readonly reason: "INVITE_LIMIT"; readonly linksMax: number }
  | { readonly reason: "INVITE_NOT_FOUND" }
  | { readonly reason: "REMOVED" };

/** A change that was decided: everything that is written in one transaction. */
export type Changed = {
  readonly kind: "changed";
  /** The conversation after the change, `membershipVersion` one higher. */
  readonly conversation: ConversationState;
  /** The members that are new or different. */
  readonly members: readonly Membership[];
  /** What goes into the conversation's log. */
  readonly change: ConversationChange;
};

export type Refused = { readonly kind: "refused"; readonly refusal: ConversationRefusal };

export type Decision = Changed | Refused | { readonly kind: "unchanged" };

/** The wish is fulfilled already: a repetition, usually. */
export const UNCHANGED: Decision = { kind: "unchanged" };

export function refuse(refusal: ConversationRefusal): Refused {
  return { kind: "refused", refusal };
}

/** A membership that has not ended. */
export type PresentMembership = Membership & {
  readonly role: Exclude<KnownRole, typeof Role.UNSPECIFIED>;
};

export function isMember(member: Membership | undefined): member is PresentMembership {
  return member !== undefined && member.role !== Role.UNSPECIFIED;
}

type ChangeInit = NonNullable<MessageInitShape<typeof ConversationChangeSchema>["change"]>;

/** The next change of a conversation: one version on, members counted, time not going back. */
export function changeConversation(
  snapshot: ConversationSnapshot,
  actorUserId: string,
  nowMs: number,
  init: {
    readonly change: ChangeInit;
    readonly members?: readonly Membership[];
    readonly title?: string;
  },
): Changed {
  const { conversation } = snapshot;
  const { members = [], title = conversation.title } = init;
  let memberCount = conversation.memberCount;
  for (const member of members) {
    const before = isMember(snapshot.members.get(member.userId) ?? heirNamed(snapshot, member));
    if (before !== isMember(member)) memberCount += before ? -1 : 1;
  }
  const membershipVersion = conversation.membershipVersion + 1;
  return {
    kind: "changed",
    conversation: {
      ...conversation,
      title,
      membershipVersion,
      memberCount,
      changeTimeMs: nextChangeTimeMs(conversation, nowMs),
    },
    members,
    change: create(ConversationChangeSchema, {
      membershipVersion: BigInt(membershipVersion),
      actorUserId,
      change: init.change,
    }),
  };
}

/** A person as they join with the conversation's next change. */
export function joinedMember(
  conversation: ConversationState,
  userId: string,
  nowMs: number,
): Membership {
  return {
    userId,
    role: Role.MEMBER,
    removed: false,
    maySend: true,
    joinVersion: conversation.membershipVersion + 1,
    joinTimeMs: nextChangeTimeMs(conversation, nowMs),
  };
}

function nextChangeTimeMs(conversation: ConversationState, nowMs: number): number {
  return Math.max(conversation.changeTimeMs, nowMs);
}

function heirNamed(snapshot: ConversationSnapshot, member: Membership): Membership | undefined {
  return snapshot.heir?.userId === member.userId ? snapshot.heir : undefined;
}
