/** Which entries of a conversation a person may read. */
import type { ClosedWindow, ConversationState } from "./conversation.ts";

/** Consecutive entries, both ends included. */
export type SeqRange = { readonly firstSeq: number; readonly lastSeq: number };

/**
 * Memberships of one person in one conversation that are kept readable: somebody who leaves and comes back
 * more often than this loses sight of what was in the oldest of them.
 */
export const WINDOWS_PER_PERSON_MAX = 64;

/**
 * The readable ranges of a person, oldest first, without overlap; empty for somebody who never was a
 * member. The present membership ends at the newest entry.
 */
export function readableRanges(
  state: ConversationState,
  userId: string,
  closed: readonly ClosedWindow[],
): readonly SeqRange[] {
  const ranges = closed.map(({ joinedSeq, leftSeq }) => ({
    firstSeq: joinedSeq,
    lastSeq: Math.min(leftSeq, state.lastSeq),
  }));
  const member = state.members.get(userId);
  if (member !== undefined) ranges.push({ firstSeq: member.joinedSeq, lastSeq: state.lastSeq });
  return ranges
    .filter(({ firstSeq, lastSeq }) => firstSeq <= lastSeq)
    .sort((a, b) => a.firstSeq - b.firstSeq);
}

/** The parts of the ranges within `[firstSeq, lastSeq]`, in the same order. */
export function clipRanges(
  ranges: readonly SeqRange[],
  firstSeq: number,
  lastSeq: number,
): readonly SeqRange[] {
  return ranges
    .map((range) => ({
      firstSeq: Math.max(range.firstSeq, firstSeq),
      lastSeq: Math.min(range.lastSeq, lastSeq),
    }))
    .filter((range) => range.firstSeq <= range.lastSeq);
}
