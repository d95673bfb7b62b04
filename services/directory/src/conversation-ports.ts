/** What the conversation half of the directory needs from storage and from the account half. */
import type { ConversationChange } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type {
  Changed,
  ConversationRefusal,
  ConversationSnapshot,
  ConversationState,
  Decision,
  KnownRole,
  Membership,
  Refused,
} from "./domain/conversation.ts";
import type { Admitted } from "./domain/conversation-access.ts";
import type { InviteState } from "./domain/conversation-invite.ts";

/** A conversation together with one person's part in it. */
export type ConversationView = {
  readonly conversation: ConversationState;
  /** The person's membership, present or former; undefined if they never were a member. */
  readonly membership: Membership | undefined;
  /** Until when the person muted it, in ms since the Unix epoch; undefined if not muted. */
  readonly muteUntilTimeMs: number | undefined;
};

/** What became of a change that was asked for. */
export type ChangeOutcome =
  | {
      readonly kind: "done";
      readonly conversationId: string;
      /** False if the wish was fulfilled already. */
      readonly changed: boolean;
      /**
       * The conversation's version when its lock was released, whether or not this call changed anything.
       * A repetition waits for it too, so that it does not answer before what it repeats has been applied.
       */
      readonly membershipVersion: number;
    }
  | { readonly kind: "refused"; readonly refusal: ConversationRefusal };

/** The key under which the creation of a group is remembered. */
export type CreationRequest = {
  readonly userId: string;
  readonly requestId: string;
  /** Creations from before this time are forgotten, in ms since the Unix epoch. */
  readonly rememberedSinceMs: number;
};

/**
 * Conversations and members.
 *
 * Every writing call is one transaction that is durable when its promise resolves. It holds the
 * conversation's lock from before it reads until it ends, so decisions about one conversation happen one
 * after the other, and those about different conversations do not disturb each other's results. A change
 * and its outbox row are written together or not at all: were the row written afterwards, a crash between
 * the two would leave a removed member reading on for ever.
 *
 * `decide` is pure and may be called more than once (a transaction that lost a deadlock is repeated). An
 * error of `decide` leaves nothing written and is passed on. When a call rejects, its outcome may be
 * unknown; repeating it is safe.
 */
export type ConversationStore = {
  /**
   * Writes a direct conversation with its first change; if its id exists already, changes nothing. Refuses
   * with `BLOCKED` if one of the two blocks the other. Of a block and a creation at once, either the block
   * is seen here, or `changeByBlocks`, called after the block was committed, sees the conversation.
   */
  createDirect(creation: Changed): Promise<ChangeOutcome>;

  /**
   * Writes a group with its first change, and remembers the request. If the request is remembered already,
   * changes nothing and gives the group of then; also when both calls come at once.
   */
  createGroup(creation: Changed, request: CreationRequest): Promise<ChangeOutcome>;

  /** What became of a remembered request: the group that it created, with its version now. */
  findCreation(request: CreationRequest): Promise<ChangeOutcome | undefined>;

  /**
   * Decides about a conversation under its lock, and writes what was decided. The snapshot holds the
   * memberships of `userIds`, and the heir if `heirOf` is given. Refuses with `CONVERSATION_NOT_FOUND` if
   * there is no such conversation, without asking `decide`.
   */
  change(
    conversationId: string,
    reads: { readonly userIds: readonly string[]; readonly heirOf?: string },
    decide: (snapshot: ConversationSnapshot) => Decision,
  ): Promise<ChangeOutcome>;

  /**
   * As `change`, and `decide` is also told the blocks between two people as they are while the lock is held.
   * Of several calls, the last one therefore decides by the newest blocks, whatever their order was.
   */
  changeByBlocks(
    conversationId: string,
    userIds: readonly [string, string],
    decide: (snapshot: ConversationSnapshot, blocks: readonly BlockPair[]) => Decision,
  ): Promise<ChangeOutcome>;

  /** Reads a conversation as of its last committed change. */
  read(conversationId: string, userId: string): Promise<ConversationView | undefined>;

  /** Lists conversations that the person is a member of, newest membership first, after a place. */
  listByMember(
    userId: string,
    page: { readonly after: MembershipPlace | undefined; readonly limit: number },
  ): Promise<readonly ConversationView[]>;

  /**
   * Lists the members by role (highest first), then join version, then user id, after a place; together
   * with the reader's own view, all as of one moment.
   */
  listMembers(
    conversationId: string,
    readerUserId: string,
    page: { readonly after: MemberPlace | undefined; readonly limit: number },
  ): Promise<
    { readonly view: ConversationView; readonly members: readonly Membership[] } | undefined
  >;

  /** Those of `userIds` who are members now. */
  filterMembers(conversationId: string, userIds: readonly string[]): Promise<readonly string[]>;

  /** Sets until when a member muted the conversation. False if the person is no member now. */
  setMute(
    conversationId: string,
    userId: string,
    muteUntilTimeMs: number | undefined,
  ): Promise<boolean>;
};

/** Where a page of a person's conversations ended. */
export type MembershipPlace = { readonly joinTimeMs: number; readonly conversationId: string };

/** Where a page of members ended. */
export type MemberPlace = {
  readonly role: KnownRole;
  readonly joinVersion: number;
  readonly userId: string;
};

/** Invite links. Transactions, locks and `decide` are as in `ConversationStore`. */
export type InviteStore = {
  /** Reads a link, live or not. Ended ones are forgotten when a group has very many of them. */
  readInvite(inviteCode: string): Promise<InviteState | undefined>;

  /**
   * Reads the links of a group that are live at `nowMs`, newest first, if `admit` lets the reader. The
   * snapshot holds the reader's membership.
   */
  listInvites(
    conversationId: string,
    readerUserId: string,
    nowMs: number,
    admit: (snapshot: ConversationSnapshot) => Admitted | Refused,
  ): Promise<{ readonly kind: "listed"; readonly invites: readonly InviteState[] } | Refused>;

  /** Writes a link if `admit`, which is told how many are live, lets its creator. */
  createInvite(
    invite: InviteState,
    admit: (snapshot: ConversationSnapshot, liveLinks: number) => Admitted | Refused,
  ): Promise<{ readonly kind: "created" } | Refused>;

  /** Ends a link of this group if `admit` lets the person. A code that is none of the group's changes nothing. */
  revokeInvite(
    conversationId: string,
    actorUserId: string,
    inviteCode: string,
    admit: (snapshot: ConversationSnapshot) => Admitted | Refused,
  ): Promise<{ readonly kind: "revoked" } | Refused>;

  /**
   * Decides about somebody who comes through a link. When the decision is a change, the link's use is
   * counted in the same transaction: under any concurrency, a link for three lets three people in.
   * Refuses an unknown code with `INVITE_NOT_FOUND`, without asking `decide`.
   */
  joinByInvite(
    inviteCode: string,
    actorUserId: string,
    decide: (snapshot: ConversationSnapshot, invite: InviteState) => Decision,
  ): Promise<ChangeOutcome>;
};

/** A change that was decided and is not known to be in the conversation's log yet. */
export type OutboxEntry = {
  readonly conversationId: string;
  readonly membershipVersion: number;
  readonly change: ConversationChange;
  /** The W3C traceparent of the call that decided it; empty if not sampled. */
  readonly traceParent: string;
};

/** The changes on their way to the log, written by the transactions of the other stores. */
export type OutboxStore = {
  /** The oldest entries of a conversation, in order of version, without gaps. */
  readPending(conversationId: string, limit: number): Promise<readonly OutboxEntry[]>;

  /** Conversations that have entries, by id, after a place. */
  listPending(after: string, limit: number): Promise<readonly string[]>;

  /** Forgets an entry that was applied. Idempotent. */
  deletePending(conversationId: string, membershipVersion: number): Promise<void>;
};

/** The way of decided changes into their conversation's log. */
export type ChangeRelay = {
  /**
   * Resolves when every change of the conversation up to `membershipVersion` has been applied: from then on
   * the message service acts on them. Call it after the change was committed. Rejects with a
   * `ChangePendingError` when that takes longer than `timeoutMs`, or when the relay stops; the change stays
   * decided and is applied later. Rejects with a `ChangeConflictError` when it never can be. Rejects with
   * the signal's reason when it aborts.
   */
  waitApplied(
    conversationId: string,
    membershipVersion: number,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<void>;
};

/** A change is decided and durable, and it is not known yet to be applied. */
export class ChangePendingError extends Error {
  override readonly name = "ChangePendingError";
}

/**
 * The conversation's log holds another change in the place of one that was decided here: the database and
 * the log are of different histories, and no change of this conversation can be applied any more. The
 * message says what an operator has to do.
 */
export class ChangeConflictError extends Error {
  override readonly name = "ChangeConflictError";
}

/** One person's block of another. */
export type BlockPair = { readonly blockerUserId: string; readonly blockedUserId: string };

/** What the account half answers. Reads what is committed when it is called, never something cached. */
export type People = {
  /** Those of the ids that belong to an account. */
  existingUserIds(userIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** Every block between the person and one of the others, in both directions. */
  blocksBetween(userId: string, otherUserIds: readonly string[]): Promise<readonly BlockPair[]>;
};

/** Tells a person's own sessions of something; best effort. */
export type SessionNotifier = {
  /** Hands an encoded `parley.realtime.v1.Event` to every session of the person. Rejects if that failed. */
  notify(userId: string, event: Uint8Array): Promise<void>;
};
