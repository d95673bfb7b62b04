/** Who is told of how far a person has come. */
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Conversation } from "./conversation.ts";

/** Above this many members only authors are told; the number of notices would grow with the square. */
export const RECEIPT_MEMBERS_MAX = 32;

export type ReceiptAudience =
  /** Nobody but the person's own sessions. */
  | { readonly kind: "own" }
  /** At once. */
  | { readonly kind: "direct"; readonly userIds: readonly string[] }
  /** All other members, collected for a second. */
  | { readonly kind: "members" }
  /** The author of what was read or delivered, collected for a second. */
  | { readonly kind: "author"; readonly authorUserId: string };

/** Decides, for one notice. Who is no member any more tells nobody. */
export function receiptAudience(
  conversation: Conversation | undefined,
  notice: { readonly userId: string; readonly authorUserId: string },
): ReceiptAudience {
  const { userId, authorUserId } = notice;
  const members = conversation?.members.userIds ?? [];
  if (conversation === undefined || !members.includes(userId)) return { kind: "own" };
  if (conversation.kind === ConversationKind.DIRECT) {
    return { kind: "direct", userIds: members.filter((member) => member !== userId) };
  }
  if (members.length <= RECEIPT_MEMBERS_MAX) return { kind: "members" };
  const told = authorUserId !== "" && authorUserId !== userId && members.includes(authorUserId);
  return told ? { kind: "author", authorUserId } : { kind: "own" };
}
