/** What the RPCs of `ConversationService` share: limits, the way to an answer, and how refusals are told. */
import type { ConnectError, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type EncryptionMode, Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import {
  failedPrecondition,
  invalidArgument,
  notFound,
  permissionDenied,
  unavailable,
} from "@parley/platform/errors";
import {
  ChangeConflictError,
  type ChangeOutcome,
  ChangePendingError,
  type ChangeRelay,
  type ConversationStore,
  type ConversationView,
  type People,
} from "../conversation-ports.ts";
import type { ConversationRefusal, KnownEncryptionMode } from "../domain/conversation.ts";
import type { PeopleFacts } from "../domain/conversation-creation.ts";

export type ConversationHandlers = ServiceImpl<typeof ConversationService>;

/** Limits that the operator sets. */
export type ConversationLimitsConfig = {
  /** Members of a group; 2 to 500. */
  readonly groupMembersMax: number;
  /** How long an invite link may live, in ms; at most 90 days. */
  readonly inviteLifetimeMaxMs: number;
  /** The modes that new conversations may have; the first is the default. */
  readonly encryptionModes: readonly KnownEncryptionMode[];
};

/** The longest wait for a change to be applied, in ms: below the default deadline, so that the caller learns why. */
export const APPLY_WAIT_MAX_MS = 8000;
/** What is left of the caller's deadline for reading the answer, in ms. */
const ANSWER_RESERVE_MS = 250;

/** Throws what the caller is told about a refusal; otherwise waits until the change, or what it repeats, is applied. */
export async function finishChange(
  relay: ChangeRelay,
  outcome: ChangeOutcome,
  context: Pick<HandlerContext, "timeoutMs" | "signal">,
): Promise<string> {
  if (outcome.kind === "refused") throw refusalError(outcome.refusal);
  const { conversationId, membershipVersion } = outcome;
  const leftMs = context.timeoutMs() ?? Number.POSITIVE_INFINITY;
  await waitApplied(relay, conversationId, membershipVersion, {
    timeoutMs: Math.min(APPLY_WAIT_MAX_MS, leftMs - ANSWER_RESERVE_MS),
    signal: context.signal,
  });
  return conversationId;
}

/**
 * Waits for a change; a wait that is too long becomes `UNAVAILABLE` / `OUTCOME_UNKNOWN`, and one that would
 * never end `FAILED_PRECONDITION` / `HISTORY_CONFLICT`.
 */
export async function waitApplied(
  relay: ChangeRelay,
  conversationId: string,
  membershipVersion: number,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  try {
    await relay.waitApplied(conversationId, membershipVersion, options);
  } catch (error) {
    if (error instanceof ChangeConflictError) {
      throw failedPrecondition(
        "HISTORY_CONFLICT",
        "The change cannot be applied: the server's parts were restored from different backups. Only its " +
          "operator can mend that.",
      );
    }
    if (!(error instanceof ChangePendingError)) throw error;
    throw unavailable(
      "OUTCOME_UNKNOWN",
      "The change is decided but not known to be applied yet; repeat the call to wait for it.",
      { cause: error },
    );
  }
}

/** The view of somebody who is or was a member; to everybody else the conversation does not exist. */
export async function requireView(
  conversations: Pick<ConversationStore, "read">,
  conversationId: string,
  userId: string,
): Promise<ConversationView> {
  const view = await conversations.read(conversationId, userId);
  if (view?.membership === undefined) throw refusalError({ reason: "CONVERSATION_NOT_FOUND" });
  return view;
}

/** Asks the account half about people whom a caller names. */
export async function lookUpPeople(
  people: People,
  callerUserId: string,
  userIds: readonly string[],
): Promise<PeopleFacts> {
  const others = [...new Set(userIds)].filter((userId) => userId !== callerUserId);
  if (others.length === 0) return { unknownUserIds: new Set(), blockingUserIds: new Set() };
  const [existing, blocks] = await Promise.all([
    people.existingUserIds(others),
    people.blocksBetween(callerUserId, others),
  ]);
  return {
    unknownUserIds: new Set(others.filter((userId) => !existing.has(userId))),
    blockingUserIds: new Set(
      blocks
        .filter(({ blockedUserId }) => blockedUserId === callerUserId)
        .map(({ blockerUserId }) => blockerUserId),
    ),
  };
}

/** The mode of a new conversation: the wanted one if this server offers it, or its default. */
export function chooseEncryptionMode(
  wanted: EncryptionMode,
  { encryptionModes }: Pick<ConversationLimitsConfig, "encryptionModes">,
): KnownEncryptionMode {
  const chosen =
    wanted === 0 ? encryptionModes[0] : encryptionModes.find((mode) => mode === wanted);
  if (chosen !== undefined) return chosen;
  throw failedPrecondition(
    "ENCRYPTION_MODE_NOT_OFFERED",
    "This server does not offer this encryption mode; GetServerInfo lists those that it offers.",
  );
}

/** How many entries a page holds: the wanted number within the bounds of the contract. */
export function pageLimit(pageSize: number): number {
  return pageSize === 0 ? PAGE_SIZE_DEFAULT : Math.min(pageSize, PAGE_SIZE_MAX);
}

/** The contract's page sizes of `ListConversations` and `ListMembers`. */
const PAGE_SIZE_DEFAULT = 100;
const PAGE_SIZE_MAX = 500;

/** What the caller is told about a refusal. */
export function refusalError(refusal: ConversationRefusal): ConnectError {
  switch (refusal.reason) {
    case "CONVERSATION_NOT_FOUND":
      return notFound(refusal.reason, "There is no such conversation.");
    case "ROLE_INSUFFICIENT":
      return permissionDenied(refusal.reason, "The caller's role does not suffice.", {
        needed_role: refusal.needed === Role.OWNER ? "ROLE_OWNER" : "ROLE_ADMIN",
      });
    case "NOT_A_GROUP":
      return failedPrecondition(refusal.reason, "The conversation is between two people.");
    case "GROUP_FULL":
      return failedPrecondition(refusal.reason, "The group would have too many members.", {
        members_max: String(refusal.membersMax),
      });
    case "USER_NOT_FOUND":
      return notFound(refusal.reason, "There is no such user.", named(refusal.userIds));
    case "BLOCKED":
      return permissionDenied(refusal.reason, "A block stands in the way.", named(refusal.userIds));
    case "MEMBER_NOT_FOUND":
      return notFound(refusal.reason, "The person is no member.", named([refusal.userId]));
    case "INVITE_LIMIT":
      return failedPrecondition(refusal.reason, "The group has enough invite links.", {
        links_max: String(refusal.linksMax),
      });
    case "INVITE_NOT_FOUND":
      return notFound(refusal.reason, "The invite link does not work (any more).");
    case "REMOVED":
      return permissionDenied(refusal.reason, "Who was removed cannot come back through a link.");
    default: {
      const unknown: never = refusal;
      throw new Error(`no words for ${JSON.stringify(unknown)}`);
    }
  }
}

/** An invalid page token; which list it belongs to does not matter to the caller. */
export function badPageToken(): ConnectError {
  return invalidArgument("page_token", "The token is none that this list gave.");
}

function named(userIds: readonly string[]): Record<string, string> {
  return { user_ids: userIds.join(",") };
}
