/** Collects what changed and writes it to the storage in batches, each with its positions and entries together. */
import { sleep } from "../async/sleep.ts";
import { type ParleyError, toParleyError } from "../errors.ts";
import type {
  ClientStorage,
  SeqRange,
  StoredEntry,
  StoredTimeline,
} from "../storage/client-storage.ts";
import { createPendingWrites } from "./pending-writes.ts";
import { addRange } from "./ranges.ts";

/** Holes that are remembered per conversation; the two oldest grow into one beyond it. */
const HOLES_MAX = 100;
/** Pause before a failed write is repeated. */
const RETRY_MS = 1_000;

export type ReadState = Pick<
  StoredTimeline,
  "readSeq" | "confirmedReadSeq" | "confirmedDeliveredSeq"
>;

/** How far a conversation is here, and what is missing below. */
export type PositionState = Required<Pick<StoredTimeline, "position" | "messageId" | "holes">>;

export type TimelineStore = {
  restore(timelines: readonly StoredTimeline[]): void;
  /** Keeps a conversation's position and holes, with entries that are shown from now on. */
  put(conversationId: string, state: PositionState, entries: readonly StoredEntry[]): void;
  /**
   * Goes back to a position, and forgets the entries above it and what was read there. What is put in the same
   * turn is stored together with this.
   */
  rewind(conversationId: string, state: PositionState): void;
  timeline(conversationId: string): StoredTimeline;
  putReadState(conversationId: string, state: Partial<ReadState>): void;
  /** Every conversation that something is kept of. */
  conversationIds(): readonly string[];
  /** Resolves when everything up to now is written. */
  flush(): Promise<void>;
  close(): Promise<void>;
};

export function createTimelineStore(options: {
  readonly storage: Pick<ClientStorage, "write">;
  readonly onFailure: (error: ParleyError) => void;
}): TimelineStore {
  const timelines = new Map<string, StoredTimeline>();
  const pending = createPendingWrites();
  let writing: Promise<void> | undefined;
  const closing = new AbortController();

  const get = (id: string): StoredTimeline => timelines.get(id) ?? emptyTimeline(id);
  const change = (timeline: StoredTimeline, entries: readonly StoredEntry[] = []) => {
    timelines.set(timeline.conversationId, timeline);
    pending.put(timeline.conversationId, entries);
    writing ??= write();
  };
  const write = async () => {
    // What changes in this turn goes into one batch.
    await Promise.resolve();
    while (!pending.isEmpty) {
      const batch = pending.take(get);
      try {
        await options.storage.write(batch);
      } catch (error) {
        pending.giveBack(batch);
        options.onFailure(toParleyError(error));
        if (closing.signal.aborted) break;
        await sleep(RETRY_MS, closing.signal).catch(() => {});
      }
    }
    writing = undefined;
  };
  return {
    restore(stored) {
      for (const timeline of stored) timelines.set(timeline.conversationId, timeline);
    },
    put(conversationId, { position, messageId, holes }, entries) {
      const state = { position, messageId, holes: bounded(holes) };
      change({ ...get(conversationId), ...state }, entries);
    },
    rewind(conversationId, { position, messageId, holes }) {
      const state = { position, messageId, holes: bounded(holes) };
      const timeline = { ...rewoundTo(get(conversationId), position), ...state };
      pending.rewind(timeline);
      change(timeline);
    },
    timeline: get,
    putReadState(conversationId, state) {
      change({ ...get(conversationId), ...state });
    },
    conversationIds: () => [...timelines.keys()],
    async flush() {
      await writing;
    },
    async close() {
      closing.abort();
      await writing;
    },
  };
}

function emptyTimeline(conversationId: string): StoredTimeline {
  return {
    conversationId,
    position: 0n,
    messageId: 0n,
    holes: [],
    readSeq: 0n,
    confirmedReadSeq: 0n,
    confirmedDeliveredSeq: 0n,
  };
}

/** Other entries take the places above the position; nobody has read those. */
function rewoundTo(timeline: StoredTimeline, position: bigint): StoredTimeline {
  const lower = (seq: bigint) => (seq < position ? seq : position);
  return {
    ...timeline,
    readSeq: lower(timeline.readSeq),
    confirmedReadSeq: lower(timeline.confirmedReadSeq),
    confirmedDeliveredSeq: lower(timeline.confirmedDeliveredSeq),
  };
}

function bounded(holes: readonly SeqRange[]): readonly SeqRange[] {
  let kept = holes;
  while (kept.length > HOLES_MAX) {
    const [first, second, ...rest] = kept;
    if (!first || !second) break;
    kept = addRange(rest, { first: first.first, last: second.last });
  }
  return kept;
}
