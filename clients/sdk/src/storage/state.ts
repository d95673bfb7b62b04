/** The stored state in memory: what the memory adapter is, and what the file adapter rebuilds from its journal. */
import type {
  StorageBatch,
  StoredAccount,
  StoredEntry,
  StoredSend,
  StoredState,
  StoredTimeline,
} from "./client-storage.ts";

export type MutableState = {
  account: StoredAccount | undefined;
  readonly timelines: Map<string, StoredTimeline>;
  /** Entries by conversation, ascending by `seq`. */
  readonly entries: Map<string, StoredEntry[]>;
  readonly sends: Map<string, StoredSend>;
  readonly settings: Map<string, string>;
};

export function createState(): MutableState {
  return {
    account: undefined,
    timelines: new Map(),
    entries: new Map(),
    sends: new Map(),
    settings: new Map(),
  };
}

/** Applies a batch, keeping the newest `entriesKeptMax` entries of each conversation. */
export function applyBatch(state: MutableState, batch: StorageBatch, entriesKeptMax: number): void {
  if (batch.account !== undefined) state.account = batch.account ?? undefined;
  for (const timeline of batch.rewoundTimelines ?? []) {
    const { conversationId, position } = timeline;
    state.timelines.set(conversationId, timeline);
    const entries = state.entries.get(conversationId);
    entries?.splice(lowerBound(entries, position + 1n));
  }
  for (const timeline of batch.timelines ?? []) {
    const known = state.timelines.get(timeline.conversationId);
    if (known && known.position > timeline.position) continue;
    state.timelines.set(timeline.conversationId, timeline);
  }
  for (const entry of batch.entries ?? []) putEntry(state, entry, entriesKeptMax);
  for (const send of batch.sends ?? []) state.sends.set(send.clientMessageId, send);
  for (const id of batch.removedSends ?? []) state.sends.delete(id);
  for (const [name, value] of Object.entries(batch.settings ?? {})) state.settings.set(name, value);
}

function putEntry(state: MutableState, entry: StoredEntry, entriesKeptMax: number): void {
  const entries = state.entries.get(entry.conversationId) ?? [];
  state.entries.set(entry.conversationId, entries);
  const index = lowerBound(entries, entry.seq);
  const present = entries[index]?.seq === entry.seq;
  entries.splice(index, present ? 1 : 0, entry);
  if (entries.length > entriesKeptMax) entries.splice(0, entries.length - entriesKeptMax);
}

/** The newest `count` entries below `beforeSeq`, oldest first. */
export function entriesBefore(
  state: MutableState,
  conversationId: string,
  beforeSeq: bigint | undefined,
  count: number,
): StoredEntry[] {
  const entries = state.entries.get(conversationId) ?? [];
  const end = beforeSeq === undefined ? entries.length : lowerBound(entries, beforeSeq);
  return entries.slice(Math.max(0, end - count), end);
}

/** Index of the first entry whose `seq` is not below `seq`. */
function lowerBound(entries: readonly StoredEntry[], seq: bigint): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle] as StoredEntry).seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The state as the port hands it out. */
export function toStoredState(state: MutableState): StoredState {
  return {
    account: state.account,
    timelines: [...state.timelines.values()],
    sends: [...state.sends.values()].sort((a, b) => a.order - b.order),
    settings: Object.fromEntries(state.settings),
  };
}

export function clearState(state: MutableState): void {
  state.account = undefined;
  state.timelines.clear();
  state.entries.clear();
  state.sends.clear();
  state.settings.clear();
}
