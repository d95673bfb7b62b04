/**
 * The bytes of a segment file: a sequence of batches, nothing between them and nothing before them.
 * A batch is what one write and one sync put down: it is there wholly or not at all. All integers are
 * little-endian.
 *
 * ```
 * batch   0       4           8            12         16        20        24          28
 *         ├───────┼───────────┼────────────┼──────────┼─────────┼─────────┼───────────┼─────────┤
 *         │ magic │ bodyBytes │ entryCount │ position │ segment │ bodyCrc │ headerCrc │ entries │
 *
 * entry   0           4      5          6         8           12       20             28
 *         ├───────────┼──────┼──────────┼─────────┼───────────┼────────┼──────────────┼────────┤
 *         │ dataBytes │ kind │ 0        │ subject │ partition │ offset │ appendTimeMs │ data   │
 *         │ u32       │ u8   │ u8       │ u16     │ u32       │ f64    │ f64          │        │
 * ```
 *
 * - `position` is the batch's own place in its file and `segment` the file's number; `headerCrc` (CRC-32,
 *   as zlib computes it) covers the 24 bytes before it and starts from the log's epoch. So bytes of
 *   another log, of another file, or of a user's message that imitates a batch are never taken for one.
 * - A batch is written only after the one before it was synced. So a valid batch header proves that every
 *   byte before it had reached the disk: see `recovery.ts`.
 * - Offsets and times are doubles: exact up to 2^53, and no BigInt where every message passes.
 *
 * One checksum per batch, not per record, because a batch is the unit that is written, synced, torn and
 * read; and a call into zlib costs more than a small record.
 */
import { crc32 } from "node:zlib";

/** What an entry is about; `subject`, `partition`, `offset` and `data` are read accordingly. */
export const entryKinds = {
  /** First entry of a segment. offset: the segment's number · time: its creation. */
  segment: 1,
  /** Names a topic. subject: topic id · data: its name. */
  topic: 2,
  /** Names a group of a topic. subject: subscription id · partition: topic id · data: the group. */
  subscription: 3,
  /** First offset of a partition in this segment. subject: topic id. */
  base: 4,
  /** A group's committed offset. subject: subscription id. */
  commit: 5,
  /** A record. subject: topic id · data: the value. */
  record: 6,
} as const;

export const BATCH_HEADER_BYTES = 28;
export const ENTRY_HEADER_BYTES = 28;

const MAGIC = 0x31424c50; // "PLB1" in the file: Parley log batch, format 1
const HEADER_CRC_AT = 24;
const ENCODER_BYTES_MIN = 64 * 1024; // Most batches fit; it doubles for those that do not.

/** What makes a batch belong to one place: seed of the log's checksums and the number of the file. */
export type BatchPlace = { readonly seed: number; readonly segment: number };

export type BatchHeader = {
  readonly bodyBytes: number;
  readonly entryCount: number;
  readonly bodyCrc: number;
};

/** Called for every entry of a batch; its data is `buffer[dataStart, dataEnd)`. */
export type EntryVisitor = (
  kind: number,
  subject: number,
  partition: number,
  offset: number,
  timeMs: number,
  dataStart: number,
  dataEnd: number,
) => void;

/** Where the checksums of a log start from. */
export function seedOf(epoch: string): number {
  return crc32(epoch);
}

/** Builds one batch at a time in a buffer of its own, which the next batch overwrites. */
export type BatchEncoder = {
  /** Whether nothing was added since the last `reset`. */
  readonly isEmpty: boolean;
  /** Starts over. */
  reset(): void;
  add(
    kind: number,
    subject: number,
    partition: number,
    offset: number,
    timeMs: number,
    data: Uint8Array,
  ): void;
  /** The finished batch: valid until the next `reset`. */
  finish(place: BatchPlace, position: number): Uint8Array;
};

export function createBatchEncoder(): BatchEncoder {
  let buffer = Buffer.allocUnsafeSlow(ENCODER_BYTES_MIN);
  let view = viewOf(buffer);
  let length = BATCH_HEADER_BYTES;
  let count = 0;

  const grow = (needed: number): void => {
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, buffer.length * 2));
    larger.set(buffer.subarray(0, length));
    buffer = larger;
    view = viewOf(larger);
  };

  return {
    get isEmpty() {
      return count === 0;
    },
    reset: () => {
      length = BATCH_HEADER_BYTES;
      count = 0;
    },
    add: (kind, subject, partition, offset, timeMs, data) => {
      const end = length + ENTRY_HEADER_BYTES + data.byteLength;
      if (end > buffer.length) grow(end);
      view.setUint32(length, data.byteLength, true);
      view.setUint16(length + 4, kind, true);
      view.setUint16(length + 6, subject, true);
      view.setUint32(length + 8, partition, true);
      view.setFloat64(length + 12, offset, true);
      view.setFloat64(length + 20, timeMs, true);
      buffer.set(data, length + ENTRY_HEADER_BYTES);
      length = end;
      count += 1;
    },
    finish: (place, position) => {
      view.setUint32(0, MAGIC, true);
      view.setUint32(4, length - BATCH_HEADER_BYTES, true);
      view.setUint32(8, count, true);
      view.setUint32(12, position, true);
      view.setUint32(16, place.segment, true);
      view.setUint32(20, crc32(buffer.subarray(BATCH_HEADER_BYTES, length)), true);
      view.setUint32(24, crc32(buffer.subarray(0, HEADER_CRC_AT), place.seed), true);
      return buffer.subarray(0, length);
    },
  };
}

/**
 * The header at `at`, which is byte `position` of the file; undefined when no header of this place is
 * there or the buffer ends before it does.
 */
export function readBatchHeader(
  buffer: Buffer,
  at: number,
  place: BatchPlace,
  position: number,
): BatchHeader | undefined {
  if (at + BATCH_HEADER_BYTES > buffer.length) return undefined;
  if (buffer.readUInt32LE(at) !== MAGIC) return undefined;
  if (buffer.readUInt32LE(at + 12) !== position) return undefined;
  if (buffer.readUInt32LE(at + 16) !== place.segment) return undefined;
  const crc = crc32(buffer.subarray(at, at + HEADER_CRC_AT), place.seed);
  if (buffer.readUInt32LE(at + HEADER_CRC_AT) !== crc) return undefined;
  return {
    bodyBytes: buffer.readUInt32LE(at + 4),
    entryCount: buffer.readUInt32LE(at + 8),
    bodyCrc: buffer.readUInt32LE(at + 20),
  };
}

/** Whether the body of a batch whose header is at `at` is whole in the buffer and undamaged. */
export function isBodyValid(buffer: Buffer, at: number, header: BatchHeader): boolean {
  const start = at + BATCH_HEADER_BYTES;
  const end = start + header.bodyBytes;
  return end <= buffer.length && crc32(buffer.subarray(start, end)) === header.bodyCrc;
}

/** Visits the entries of a valid batch whose header is at `at`. */
export function visitEntries(
  buffer: Buffer,
  at: number,
  header: BatchHeader,
  visit: EntryVisitor,
): void {
  const view = viewOf(buffer);
  let entry = at + BATCH_HEADER_BYTES;
  for (let i = 0; i < header.entryCount; i++) {
    const dataStart = entry + ENTRY_HEADER_BYTES;
    const dataEnd = dataStart + view.getUint32(entry, true);
    visit(
      view.getUint16(entry + 4, true),
      view.getUint16(entry + 6, true),
      view.getUint32(entry + 8, true),
      view.getFloat64(entry + 12, true),
      view.getFloat64(entry + 20, true),
      dataStart,
      dataEnd,
    );
    entry = dataEnd;
  }
}

/** The first position in the buffer, from `from` on, where a batch's magic number stands; or -1. */
export function indexOfMagic(buffer: Buffer, from: number): number {
  return buffer.indexOf("PLB1", from, "latin1");
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
