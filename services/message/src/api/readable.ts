/** What a person may read, and reading it. */
import { notFound } from "@parley/platform/errors";
import type { ConversationState, StoredRow } from "../domain/conversation.ts";
import { isConversationId } from "../domain/record.ts";
import { readableRanges, type SeqRange } from "../domain/window.ts";
import type { MessageStore } from "../ports.ts";
import { refusalOf } from "./refusals.ts";

export type ReadableDeps = {
  readonly conversations: {
    read(conversationId: string): Promise<ConversationState | undefined>;
  };
  readonly store: Pick<MessageStore, "readClosedWindows">;
  /** Throws while the store does not have the newest entries back: what is missing would look as if it had never been. */
  readonly assertCaughtUp: () => void;
};

export type Readable = {
  readonly state: ConversationState;
  /** Oldest first, without overlap; never empty. */
  readonly ranges: readonly SeqRange[];
};

/** What the person may read of a conversation; undefined if they never were a member. */
export async function findReadable(
  { conversations, store, assertCaughtUp }: ReadableDeps,
  conversationId: string,
  userId: string,
): Promise<Readable | undefined> {
  assertCaughtUp();
  // The contract also lets an upper-case UUID through; no conversation is called so.
  if (!isConversationId(conversationId)) return undefined;
  const state = await conversations.read(conversationId);
  if (state === undefined) return undefined;
  const closed = await store.readClosedWindows(conversationId, userId);
  const ranges = readableRanges(state, userId, closed);
  return ranges.length === 0 ? undefined : { state, ranges };
}

/** `findReadable`, or `NOT_FOUND`: whoever never was a member learns nothing. */
export async function requireReadable(
  deps: ReadableDeps,
  conversationId: string,
  userId: string,
): Promise<Readable> {
  const readable = await findReadable(deps, conversationId, userId);
  if (readable !== undefined) return readable;
  throw notFound("CONVERSATION_NOT_FOUND", "There is no such conversation.");
}

/** The conversation of a present member. Former members are refused, strangers told that there is none. */
export async function requireMember(
  deps: ReadableDeps,
  conversationId: string,
  userId: string,
): Promise<ConversationState> {
  const { state } = await requireReadable(deps, conversationId, userId);
  if (state.members.has(userId)) return state;
  throw refusalOf("NOT_A_MEMBER");
}

/** How much may still be read for an answer. Counts down as rows are read. */
export type ReadBudget = { rows: number; bytes: number };

export type SegmentsRead = {
  readonly rows: readonly StoredRow[];
  /** True when every row of the segments was read; false at the end of the budget or at a gap. */
  readonly complete: boolean;
};

/**
 * Reads segments one after the other, each towards older rows if asked for. Stops when the budget is used
 * up or a row is missing. A row that alone is above the bytes is read if it is the first of its answer.
 */
export async function readSegments(
  store: Pick<MessageStore, "readRows">,
  conversationId: string,
  segments: readonly SeqRange[],
  options: { readonly older: boolean; readonly budget: ReadBudget; readonly first: boolean },
): Promise<SegmentsRead> {
  const { older, budget } = options;
  const rows: StoredRow[] = [];
  for (const { firstSeq, lastSeq } of segments) {
    if (budget.rows <= 0) return { rows, complete: false };
    const found = await store.readRows({
      conversationId,
      fromSeq: older ? lastSeq : firstSeq,
      toSeq: older ? firstSeq : lastSeq,
      rowsMax: budget.rows,
      bytesMax: Math.max(0, budget.bytes),
    });
    for (const row of found) {
      const only = options.first && rows.length === 0;
      if (row.event.byteLength > budget.bytes && !only) return { rows, complete: false };
      rows.push(row);
      budget.rows--;
      budget.bytes -= row.event.byteLength;
    }
    if (found.length < lastSeq - firstSeq + 1) return { rows, complete: false };
  }
  return { rows, complete: true };
}
