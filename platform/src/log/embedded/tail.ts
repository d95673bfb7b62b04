import type { LogRecord } from "../port.ts";

/** How much one delivery may hold. */
export type DeliveryLimits = { readonly recordsMax: number; readonly bytesMax: number };

/**
 * The newest records of one partition, in memory: `[endOffset - length, endOffset)` without a gap.
 * Consumers that are near the end read here; shared by all groups.
 */
export type PartitionTail = {
  /** Adds the next record. Only `TailWindow` calls it, and `dropOldest`. */
  push(record: LogRecord): void;
  dropOldest(): void;
  /** Records from an offset on, at least one; undefined when that offset is not in memory. */
  read(offset: number, limits: DeliveryLimits): readonly LogRecord[] | undefined;
};

export function createPartitionTail(): PartitionTail {
  // Records live in [head, records.length); the array is cut when half of it is behind the head.
  let records: (LogRecord | undefined)[] = [];
  let head = 0;
  return {
    push: (record) => {
      records.push(record);
    },
    dropOldest: () => {
      records[head] = undefined; // Its memory goes now, not when the array is cut.
      head += 1;
      if (head * 2 >= records.length) {
        records = records.slice(head);
        head = 0;
      }
    },
    read: (offset, limits) => {
      const first = records[head];
      if (first === undefined || offset < first.offset) return undefined;
      const found: LogRecord[] = [];
      let bytes = 0;
      for (let at = head + (offset - first.offset); at < records.length; at++) {
        const record = records[at];
        if (record === undefined || found.length >= limits.recordsMax) break;
        bytes += record.value.byteLength;
        if (bytes > limits.bytesMax && found.length > 0) break;
        found.push(record);
      }
      return found.length > 0 ? found : undefined;
    },
  };
}

/** Memory of a record besides its value: the object, its array, its places in the queues. */
export const RECORD_OVERHEAD_BYTES = 256;

/**
 * Bounds the tails of all partitions together: batches enter in log order and the oldest leave when the
 * sum exceeds the limit. A consumer that is overtaken finds its next record in the files; so a slow one
 * costs no memory, however many there are.
 */
export type TailWindow = {
  /** Adds the records of a batch; `partitions[i]` is where `records[i]` belongs. */
  add(records: readonly LogRecord[], partitions: readonly WithTail[]): void;
};

type WithTail = { readonly tail: PartitionTail };
type Held = { readonly partitions: readonly WithTail[]; readonly bytes: number };

export function createTailWindow(bytesMax: number): TailWindow {
  let held: Held[] = [];
  let head = 0;
  let heldBytes = 0;

  const dropOldest = (): void => {
    const oldest = held[head];
    if (oldest === undefined) return;
    for (const { tail } of oldest.partitions) tail.dropOldest();
    heldBytes -= oldest.bytes;
    head += 1;
    if (head * 2 >= held.length) {
      held = held.slice(head);
      head = 0;
    }
  };

  return {
    add: (records, partitions) => {
      let bytes = 0;
      for (let i = 0; i < records.length; i++) {
        const record = records[i];
        if (record === undefined) continue;
        partitions[i]?.tail.push(record);
        bytes += record.value.byteLength + RECORD_OVERHEAD_BYTES;
      }
      held.push({ partitions, bytes });
      heldBytes += bytes;
      while (heldBytes > bytesMax && head < held.length) dropOldest();
    },
  };
}
