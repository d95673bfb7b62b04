/** What is waiting to be written of timelines and their entries, in one batch. */
import type { StorageBatch, StoredEntry, StoredTimeline } from "../storage/client-storage.ts";

/** Entries that may wait for the storage; beyond it positions still move, and history reads them again. */
const ENTRIES_MAX = 5_000;

export type TimelineBatch = Required<
  Pick<StorageBatch, "rewoundTimelines" | "timelines" | "entries">
>;

export type PendingWrites = {
  readonly isEmpty: boolean;
  /** The timeline of a conversation changed, with entries that belong to it. */
  put(conversationId: string, entries?: readonly StoredEntry[]): void;
  /** The conversation went back to this timeline: what waits above its position is not written any more. */
  rewind(timeline: StoredTimeline): void;
  /** Everything that waits; from now on nothing does. */
  take(timeline: (conversationId: string) => StoredTimeline): TimelineBatch;
  /** A batch that could not be written waits again, before what was put since. */
  giveBack(batch: TimelineBatch): void;
};

export function createPendingWrites(): PendingWrites {
  const changed = new Set<string>();
  const rewound = new Map<string, StoredTimeline>();
  let entries: StoredEntry[] = [];

  /** Everything above the lowest of several rewinds goes; what was put since follows it in the batch. */
  const noteRewound = (timeline: StoredTimeline) => {
    const known = rewound.get(timeline.conversationId);
    if (known && known.position <= timeline.position) return;
    rewound.set(timeline.conversationId, timeline);
  };
  return {
    get isEmpty() {
      return changed.size === 0 && entries.length === 0;
    },
    put(conversationId, added = []) {
      changed.add(conversationId);
      if (entries.length + added.length <= ENTRIES_MAX) entries.push(...added);
    },
    rewind(timeline) {
      const { conversationId, position } = timeline;
      changed.add(conversationId);
      noteRewound(timeline);
      entries = entries.filter((e) => e.conversationId !== conversationId || e.seq <= position);
    },
    take(timeline) {
      const rewoundTimelines = [...rewound.values()];
      const batch = { rewoundTimelines, timelines: [...changed].map(timeline), entries };
      changed.clear();
      rewound.clear();
      entries = [];
      return batch;
    },
    giveBack(batch) {
      const kept = batch.entries.filter(({ conversationId, seq }) => {
        const since = rewound.get(conversationId);
        return since === undefined || seq <= since.position;
      });
      entries = [...kept, ...entries].slice(-ENTRIES_MAX);
      for (const { conversationId } of batch.timelines) changed.add(conversationId);
      for (const timeline of batch.rewoundTimelines) noteRewound(timeline);
    },
  };
}
