/** Where catch-up begins in one conversation, and what it leaves out. Pure. */

export type HeadToPlan = {
  /** The newest `seq` that the person may read. */
  readonly lastSeq: number;
  /** The first `seq` of the person's newest membership. */
  readonly firstSeq: number;
  /** How far the device has the conversation; 0 for nothing. */
  readonly positionSeq: number;
  /** Entries to send at most where catch-up may leave some out. */
  readonly messagesMax: number;
  /** Whether the server can read the conversation, so that a far-behind device may be sent less. */
  readonly serverReadable: boolean;
};

export type Plan = {
  /** Entries above this one are sent. */
  readonly afterSeq: number;
  /** The range that is left out; undefined if none. */
  readonly skipped: { readonly firstSeq: number; readonly lastSeq: number } | undefined;
};

/** True if the plan depends on whether the server can read the conversation. */
export function dependsOnMode(head: Omit<HeadToPlan, "serverReadable">): boolean {
  return head.positionSeq > 0 && head.lastSeq - head.positionSeq > head.messagesMax;
}

/**
 * A device that has nothing of a conversation gets its newest entries; one that is far behind gets everything
 * if only it can decrypt, because what it is not sent now it may not be able to read later.
 */
export function planHead(head: HeadToPlan): Plan {
  const { lastSeq, firstSeq, positionSeq, messagesMax, serverReadable } = head;
  const missingAfter = positionSeq > 0 ? positionSeq : Math.max(0, firstSeq - 1);
  const mayTruncate = positionSeq === 0 || serverReadable;
  const afterSeq =
    mayTruncate && lastSeq - missingAfter > messagesMax ? lastSeq - messagesMax : missingAfter;
  if (afterSeq === missingAfter) return { afterSeq, skipped: undefined };
  return { afterSeq, skipped: { firstSeq: missingAfter + 1, lastSeq: afterSeq } };
}
