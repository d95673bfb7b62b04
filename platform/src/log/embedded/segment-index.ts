/**
 * Where the records of one segment are: blocks of whole batches, and for each partition the blocks that
 * hold some of it. Bounded by the segment: (segment bytes / block bytes) × partitions entries at most.
 */
export type SegmentIndex = {
  /** Notes a batch; its records follow with `addRecord`. */
  addBatch(position: number, bytes: number): void;
  addRecord(partitionKey: number, offset: number): void;
  /** The block that holds a record of the partition, if the segment does; as far as it is written now. */
  blockOf(partitionKey: number, offset: number): Block | undefined;
};

/** Whole batches of a segment: bytes `[start, end)` of its file. */
export type Block = { readonly start: number; readonly end: number };

type Run = { readonly blocks: number[]; readonly offsets: number[] };

export function createSegmentIndex(blockBytes: number): SegmentIndex {
  const starts: number[] = [];
  const runs = new Map<number, Run>();
  let end = 0;

  return {
    addBatch: (position, bytes) => {
      const start = starts[starts.length - 1];
      if (start === undefined || position - start >= blockBytes) starts.push(position);
      end = position + bytes;
    },
    addRecord: (key, offset) => {
      const block = starts.length - 1;
      const run = runs.get(key);
      if (run === undefined) {
        runs.set(key, { blocks: [block], offsets: [offset] });
      } else if (run.blocks[run.blocks.length - 1] !== block) {
        run.blocks.push(block);
        run.offsets.push(offset);
      }
    },
    blockOf: (key, offset) => {
      const run = runs.get(key);
      if (run === undefined) return undefined;
      const block = run.blocks[lastAtMost(run.offsets, offset)] ?? 0;
      return { start: starts[block] ?? 0, end: starts[block + 1] ?? end };
    },
  };
}

/** Index of the last of the ascending values that is not above `limit`; 0 if all are. */
function lastAtMost(values: readonly number[], limit: number): number {
  let low = 0;
  let high = values.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((values[middle] ?? 0) <= limit) low = middle;
    else high = middle;
  }
  return low;
}
