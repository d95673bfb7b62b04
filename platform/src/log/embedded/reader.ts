import type { LogRecord } from "../port.ts";
import { type Partition, partitionKey } from "./catalogue.ts";
import { LogCorruptError } from "./errors.ts";
import type { SegmentFiles } from "./files.ts";
import {
  BATCH_HEADER_BYTES,
  ENTRY_HEADER_BYTES,
  entryKinds,
  isBodyValid,
  readBatchHeader,
  visitEntries,
} from "./frame.ts";
import { createLruCache } from "./lru-cache.ts";
import { scanSegment } from "./scan.ts";
import { type Block, createSegmentIndex, type SegmentIndex } from "./segment-index.ts";
import type { Segment, Segments } from "./segments.ts";
import type { DeliveryLimits } from "./tail.ts";

/** Reads records that are no longer in memory. */
export type DiskReader = {
  /**
   * Records of a partition from an offset that is below its end: at least one, in order, without a gap;
   * possibly fewer than the limits allow. Their values are copies. Rejects with LogCorruptError when the
   * files do not hold them.
   */
  read(partition: Partition, offset: number, limits: DeliveryLimits): Promise<readonly LogRecord[]>;
};

/**
 * Blocks are shared: partitions that catch up together pass the same places at about the same time, and
 * one read serves them all.
 */
const BLOCK_CACHE_BYTES = 16 * 1024 * 1024;

/** Indexes of sealed segments kept; each is rebuilt by one pass over its segment. */
const INDEX_CACHE_COUNT = 4;

/** A block with the places of its records by partition key. */
type LoadedBlock = { readonly buffer: Buffer; readonly entries: ReadonlyMap<number, number[]> };

export function createDiskReader(
  files: SegmentFiles,
  segments: Segments,
  blockBytes: number,
): DiskReader {
  const blocks = createLruCache<LoadedBlock>(BLOCK_CACHE_BYTES);
  const indexes = createLruCache<SegmentIndex>(INDEX_CACHE_COUNT);

  const indexOf = async (segment: Segment): Promise<SegmentIndex> => {
    if (segment === segments.active) return segments.active.index;
    return indexes.get(segment.path, 1, () => buildIndex(files, segment, blockBytes));
  };

  return {
    read: async (partition, offset, limits) => {
      const segment = segmentOf(segments, partition, offset);
      const index = await indexOf(segment);
      const records: LogRecord[] = [];
      let bytes = 0;
      for (;;) {
        const next = offset + records.length;
        const block = index.blockOf(partition.key, next);
        if (block === undefined) break;
        const loaded = await blocks.get(
          `${segment.segment}:${block.start}:${block.end}`,
          block.end - block.start,
          () => loadBlock(files, segment, block),
        );
        const taken = takeRecords(loaded, partition, next, limits, records, bytes);
        bytes += taken.bytes;
        if (taken.count === 0 || taken.full) break;
      }
      if (records.length > 0) return records;
      throw new LogCorruptError(
        `${segment.path} does not hold offset ${offset} of ${partition.topic.name}/` +
          `${partition.partition}, which was written to it. Restore the directory from a backup.`,
      );
    },
  };
}

/** The segment that holds an offset: the last one that begins at or before it. */
function segmentOf(segments: Segments, partition: Partition, offset: number): Segment {
  const begins = (segment: Segment): number => segment.bases.get(partition.key) ?? 0;
  if (begins(segments.active) <= offset) return segments.active;
  const { sealed } = segments;
  let low = 0;
  let high = sealed.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    const segment = sealed[middle];
    if (segment !== undefined && begins(segment) <= offset) low = middle;
    else high = middle;
  }
  return sealed[low] ?? segments.active;
}

async function buildIndex(
  files: SegmentFiles,
  segment: Segment,
  blockBytes: number,
): Promise<SegmentIndex> {
  const index = createSegmentIndex(blockBytes);
  const end = await scanSegment(files, segment, (buffer, at, header, position) => {
    index.addBatch(position, BATCH_HEADER_BYTES + header.bodyBytes);
    visitEntries(buffer, at, header, (kind, subject, partition, offset) => {
      if (kind === entryKinds.record) index.addRecord(partitionKey(subject, partition), offset);
    });
  });
  if (end !== (await files.size(segment.path))) throw damaged(segment, end);
  return index;
}

async function loadBlock(
  files: SegmentFiles,
  segment: Segment,
  block: Block,
): Promise<LoadedBlock> {
  const buffer = await files.read(segment.path, block.start, block.end - block.start);
  const entries = new Map<number, number[]>();
  let at = 0;
  while (at < block.end - block.start) {
    const header = readBatchHeader(buffer, at, segment, block.start + at);
    if (header === undefined || !isBodyValid(buffer, at, header)) {
      throw damaged(segment, block.start + at);
    }
    visitEntries(buffer, at, header, (kind, subject, partition, _offset, _timeMs, dataStart) => {
      if (kind !== entryKinds.record) return;
      const key = partitionKey(subject, partition);
      const places = entries.get(key);
      if (places === undefined) entries.set(key, [dataStart - ENTRY_HEADER_BYTES]);
      else places.push(dataStart - ENTRY_HEADER_BYTES);
    });
    at += BATCH_HEADER_BYTES + header.bodyBytes;
  }
  return { buffer, entries };
}

/** Appends a block's records from an offset on to `records`, as far as the limits allow. */
function takeRecords(
  block: LoadedBlock,
  partition: Partition,
  offset: number,
  limits: DeliveryLimits,
  records: LogRecord[],
  bytesBefore: number,
): { count: number; bytes: number; full: boolean } {
  const { buffer } = block;
  let count = 0;
  let bytes = 0;
  for (const place of block.entries.get(partition.key) ?? []) {
    const found = buffer.readDoubleLE(place + 12);
    if (found !== offset + count) continue;
    const dataBytes = buffer.readUInt32LE(place);
    const full =
      records.length >= limits.recordsMax ||
      (records.length > 0 && bytesBefore + bytes + dataBytes > limits.bytesMax);
    if (full) return { count, bytes, full };
    // A copy: a small record must not keep the whole block in memory.
    const value = new Uint8Array(dataBytes);
    value.set(buffer.subarray(place + ENTRY_HEADER_BYTES, place + ENTRY_HEADER_BYTES + dataBytes));
    records.push({
      topic: partition.topic.name,
      partition: partition.partition,
      offset: found,
      appendTimeMs: buffer.readDoubleLE(place + 20),
      value,
    });
    count += 1;
    bytes += dataBytes;
  }
  return { count, bytes, full: false };
}

function damaged(segment: Segment, position: number): LogCorruptError {
  return new LogCorruptError(
    `${segment.path} is damaged at byte ${position}. Restore the directory from a backup.`,
  );
}
