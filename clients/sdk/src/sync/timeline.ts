/**
 * How far a device has one conversation, and in which order entries may be shown. Pure: no clock, no I/O.
 *
 *        1 … 40        41 … 57       58      59 60      61        62 …
 *     [ hole: skipped ][ shown    ]  ↑     [ gap  ]  [ waiting ]
 *                                position
 *
 * Entries are shown in the order of `seq`, each once. One that comes early waits until what lies before it was
 * shown, was named as skipped by catch-up, or proved not to be readable.
 */
import type { SeqRange } from "../storage/client-storage.ts";
import { addRange, rangeAt, removeRange } from "./ranges.ts";

/** Entries that may wait in one conversation; what comes beyond is dropped and read when its turn comes. */
export const WAITING_ENTRIES_MAX = 1_000;
/** The highest `seq` that the contract's `uint64` holds. */
const SEQ_MAX = 2n ** 64n - 1n;

/** An entry as far as order is concerned. */
export type Ordered = { readonly seq: bigint; readonly messageId: bigint };

export type Timeline<E extends Ordered> = {
  position: bigint;
  /** The id of the entry at the position; 0 where the entry is not here. */
  messageId: bigint;
  /** Ranges below the position that were left out. */
  holes: readonly SeqRange[];
  /** Ranges above the position that were left out. */
  skips: readonly SeqRange[];
  readonly waiting: Map<bigint, E>;
  /** The highest `seq` that is known to exist; 0 if none. */
  seen: bigint;
};

export function createTimeline<E extends Ordered>(
  position = 0n,
  holes: readonly SeqRange[] = [],
  messageId = 0n,
): Timeline<E> {
  return { position, messageId, holes, skips: [], waiting: new Map(), seen: position };
}

/** Takes an entry in, whatever its place. False if it adds nothing: it was shown or waits already. */
export function offer<E extends Ordered>(timeline: Timeline<E>, entry: E): boolean {
  if (entry.seq <= timeline.position || timeline.waiting.has(entry.seq)) return false;
  noteSeen(timeline, entry.seq);
  const next = entry.seq === timeline.position + 1n;
  if (!next && timeline.waiting.size >= WAITING_ENTRIES_MAX) return false;
  timeline.waiting.set(entry.seq, entry);
  return true;
}

/** An entry is known to exist, but is not here. */
export function noteSeen<E extends Ordered>(timeline: Timeline<E>, seq: bigint): void {
  if (seq > timeline.seen) timeline.seen = seq;
}

/** Catch-up left these out; they are no gap, and can be read on demand. */
export function noteSkipped<E extends Ordered>(timeline: Timeline<E>, range: SeqRange): void {
  const first = range.first > timeline.position ? range.first : timeline.position + 1n;
  if (range.last < first) return;
  timeline.skips = addRange(timeline.skips, { first, last: range.last });
  noteSeen(timeline, range.last);
}

/** Removes and returns the entries that may be shown now, in order, and moves the position over them. */
export function takeReady<E extends Ordered>(timeline: Timeline<E>): E[] {
  const ready: E[] = [];
  for (;;) {
    const next = timeline.position + 1n;
    const entry = timeline.waiting.get(next);
    const skip = rangeAt(timeline.skips, next);
    if (entry) {
      timeline.waiting.delete(next);
      timeline.position = next;
      timeline.messageId = entry.messageId;
      timeline.skips = removeRange(timeline.skips, { first: next, last: next });
      ready.push(entry);
    } else if (skip) {
      // A skipped range ends before the first entry of it that came nevertheless.
      const last = firstWaiting(timeline, next, skip.last);
      timeline.holes = addRange(timeline.holes, { first: next, last });
      timeline.skips = removeRange(timeline.skips, { first: next, last });
      timeline.position = last;
      timeline.messageId = 0n;
    } else return ready;
  }
}

function firstWaiting<E extends Ordered>(
  timeline: Timeline<E>,
  first: bigint,
  last: bigint,
): bigint {
  let end = last;
  for (const seq of timeline.waiting.keys()) {
    if (seq > first && seq <= end) end = seq - 1n;
  }
  return end;
}

/** What has to be read before anything further may be shown, after `takeReady`; undefined if nothing is missing. */
export function gapOf<E extends Ordered>(timeline: Timeline<E>): SeqRange | undefined {
  if (timeline.seen <= timeline.position) return undefined;
  let last = timeline.seen;
  for (const seq of timeline.waiting.keys()) if (seq - 1n < last) last = seq - 1n;
  for (const skip of timeline.skips) if (skip.first - 1n < last) last = skip.first - 1n;
  const first = timeline.position + 1n;
  // Nothing waits and nothing is skipped: `seen` itself is missing.
  return last < first ? undefined : { first, last };
}

/**
 * Takes in what the server answered when it was asked for entries after the position, oldest first. Where its
 * first entry lies further on, what is between is not readable for this person (before they joined, or while
 * they were away) and is passed over.
 */
export function fillGap<E extends Ordered>(timeline: Timeline<E>, entries: readonly E[]): void {
  const first = entries[0];
  if (!first) return;
  if (first.seq > timeline.position + 1n) {
    const end = first.seq - 1n;
    // Only as far as nothing else is known there.
    const stop = firstWaiting(timeline, timeline.position, end);
    const skip = timeline.skips.find((range) => range.first <= stop);
    const last = skip && skip.first - 1n < stop ? skip.first - 1n : stop;
    if (last > timeline.position) {
      timeline.position = last;
      timeline.messageId = 0n;
    }
  }
  for (const entry of entries) offer(timeline, entry);
}

/** Gives up on what lies beyond the position. */
export function forget<E extends Ordered>(timeline: Timeline<E>): void {
  timeline.waiting.clear();
  timeline.skips = [];
  timeline.seen = timeline.position;
}

/** Goes back to an entry that this device and the server have in common; position 0 is before the first. */
export function rewind<E extends Ordered>(timeline: Timeline<E>, to: Ordered): void {
  timeline.position = to.seq;
  timeline.messageId = to.messageId;
  timeline.holes = removeRange(timeline.holes, { first: to.seq + 1n, last: SEQ_MAX });
  forget(timeline);
}
