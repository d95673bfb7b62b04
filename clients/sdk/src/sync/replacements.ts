/** Conversations whose history is being read anew, because the server's is another than this device's. */
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { sleep } from "../async/sleep.ts";
import { isTransient, type ParleyError, toParleyError } from "../errors.ts";
import type { Replacement } from "./replacement.ts";
import { WAITING_ENTRIES_MAX } from "./timeline.ts";

/** Conversations that are read at a time: a restored server has lost entries of all of them. */
const READING_MAX = 4;
/** Attempts per conversation before the whole session is opened again. */
const ATTEMPTS_MAX = 5;
/** Pause after a failed attempt, times its number, in ms. */
const PAUSE_MS = 300;

export type Replacements = {
  /**
   * Reads these conversations anew. Resolves with true when all are replaced; with false when a new session
   * decides anew, or when one could not be read.
   */
  begin(conversationIds: readonly string[]): Promise<boolean>;
  /** Keeps an entry until its conversation is replaced; false if the conversation is not being replaced. */
  hold(entry: Message): boolean;
  /** The same for an entry that is known to exist, but is not here. */
  holdSeen(conversationId: string, seq: bigint): boolean;
  has(conversationId: string): boolean;
  /** Gives up what is under way. */
  cancel(): void;
};

/** What came of a conversation while it was read. */
export type Held = { readonly entries: readonly Message[]; readonly seen: bigint };

export function createReplacements(dependencies: {
  readonly read: (conversationId: string, signal: AbortSignal) => Promise<Replacement>;
  readonly onRead: (conversationId: string, replacement: Replacement, held: Held) => void;
  /** A conversation could not be read; a new session decides anew. */
  readonly onHopeless: (error: ParleyError) => void;
}): Replacements {
  const held = new Map<string, { readonly entries: Message[]; seen: bigint }>();
  let controller = new AbortController();

  const cancel = () => {
    controller.abort();
    controller = new AbortController();
    held.clear();
  };
  const readPatiently = async (conversationId: string, signal: AbortSignal) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await dependencies.read(conversationId, signal);
      } catch (caught) {
        const error = toParleyError(caught);
        if (signal.aborted || !isTransient(error) || attempt === ATTEMPTS_MAX) throw error;
        await sleep(PAUSE_MS * attempt, signal);
      }
    }
  };
  const replace = async (conversationIds: string[], signal: AbortSignal) => {
    for (;;) {
      const id = conversationIds.shift();
      if (id === undefined) return;
      const replacement = await readPatiently(id, signal);
      signal.throwIfAborted();
      const { entries, seen } = held.get(id) ?? { entries: [], seen: 0n };
      held.delete(id);
      dependencies.onRead(id, replacement, { entries, seen });
    }
  };
  return {
    async begin(conversationIds) {
      cancel();
      const { signal } = controller;
      for (const id of conversationIds) held.set(id, { entries: [], seen: 0n });
      const rest = [...conversationIds];
      const workers = Array.from({ length: READING_MAX }, () => replace(rest, signal));
      try {
        await Promise.all(workers);
        return true;
      } catch (caught) {
        if (!signal.aborted) {
          cancel();
          dependencies.onHopeless(toParleyError(caught));
        }
        return false;
      }
    },
    hold(entry) {
      const waiting = held.get(entry.conversationId);
      if (!waiting) return false;
      if (entry.seq > waiting.seen) waiting.seen = entry.seq;
      if (waiting.entries.length < WAITING_ENTRIES_MAX) waiting.entries.push(entry);
      return true;
    },
    holdSeen(conversationId, seq) {
      const waiting = held.get(conversationId);
      if (waiting && seq > waiting.seen) waiting.seen = seq;
      return waiting !== undefined;
    },
    has: (conversationId) => held.has(conversationId),
    cancel,
  };
}
