/** Collects what changed and writes it to the storage in batches, each with its positions and entries together. */
import { sleep } from "../async/sleep.ts";
import { type ParleyError, toParleyError } from "../errors.ts";
import type {
  ClientStorage,
  SeqRange,
  StoredEntry,
  StoredTimeline,
} from "../storage/client-storage.ts";
import { addRange } from "./ranges.ts";

/** Entries that may wait for the storage; beyond it positions still move, and history reads them again. */
const DIRTY_ENTRIES_MAX = 5_000;
/** Holes that are remembered per conversation; the two oldest grow into one beyond it. */
const HOLES_MAX = 100;
/** Pause before a failed write is repeated. */
const RETRY_MS = 1_000;

export type ReadState = Pick<
  StoredTimeline,
  "readSeq" | "confirmedReadSeq" | "confirmedDeliveredSeq"
>;

export type TimelineStore = {
  restore(timelines: readonly StoredTimeline[]): void;
  /** Keeps a conversation's position and holes, with entries that are shown from now on. */
  put(
    conversationId: string,
    state: { readonly position: bigint; readonly holes: readonly SeqRange[] },
    entries: readonly { readonly seq: bigint; readonly bytes: Uint8Array }[],
  ): void;
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
  const dirty = new Set<string>();
  let entries: StoredEntry[] = [];
  let writing: Promise<void> | undefined;
  const closing = new AbortController();

  const get = (conversationId: string): StoredTimeline =>
    timelines.get(conversationId) ?? {
      conversationId,
      position: 0n,
      holes: [],
      readSeq: 0n,
      confirmedReadSeq: 0n,
      confirmedDeliveredSeq: 0n,
    };
  const change = (timeline: StoredTimeline) => {
    timelines.set(timeline.conversationId, timeline);
    dirty.add(timeline.conversationId);
    writing ??= write();
  };
  const write = async () => {
    // What changes in this turn goes into one batch.
    await Promise.resolve();
    while (dirty.size > 0 || entries.length > 0) {
      const ids = [...dirty];
      const batch = { timelines: ids.map(get), entries };
      dirty.clear();
      entries = [];
      try {
        await options.storage.write(batch);
      } catch (error) {
        for (const id of ids) dirty.add(id);
        entries = [...batch.entries, ...entries].slice(-DIRTY_ENTRIES_MAX);
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
    put(conversationId, { position, holes }, added) {
      if (entries.length + added.length <= DIRTY_ENTRIES_MAX) {
        for (const { seq, bytes } of added) entries.push({ conversationId, seq, bytes });
      }
      change({ ...get(conversationId), position, holes: bounded(holes) });
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

function bounded(holes: readonly SeqRange[]): readonly SeqRange[] {
  let kept = holes;
  while (kept.length > HOLES_MAX) {
    const [first, second, ...rest] = kept;
    if (!first || !second) break;
    kept = addRange(rest, { first: first.first, last: second.last });
  }
  return kept;
}
