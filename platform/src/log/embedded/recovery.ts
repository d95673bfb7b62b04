import { join } from "node:path";
import type { LogIdentity } from "../port.ts";
import { type Catalogue, createCatalogue, partitionKey } from "./catalogue.ts";
import { LogCorruptError } from "./errors.ts";
import {
  BATCH_HEADER_BYTES,
  type BatchEncoder,
  type EntryVisitor,
  entryKinds,
  seedOf,
  visitEntries,
} from "./frame.ts";
import { checkPartitionCount, createIdentity, newIdentity, readIdentity } from "./identity.ts";
import type { SegmentLogSettings } from "./options.ts";
import { findHeaderAfter, type ScanSource, scanSegment } from "./scan.ts";
import { createSegmentIndex } from "./segment-index.ts";
import {
  type ActiveSegment,
  createSegment,
  isTemporary,
  type Segment,
  type Segments,
  segmentNumber,
  segmentPath,
} from "./segments.ts";

/** A log as it was found on disk, ready to go on. */
export type RecoveredLog = {
  readonly identity: LogIdentity;
  readonly catalogue: Catalogue;
  readonly segments: Segments;
};

const RESTORE =
  "Bytes that were on disk have changed; nothing is skipped, because later records would be applied " +
  "to a wrong state. Restore this directory together with the stores beside it from one backup, or " +
  "begin again with an empty data directory.";

/** An interrupted creation leaves a first segment with one entry and no record: less than this. */
const EMPTY_SEGMENT_BYTES_MAX = 64;

/**
 * Opens the log in a directory that is locked by this process, or creates one.
 *
 * Only the last segment is read wholly. What follows its last valid batch is
 * - a torn tail, if no valid batch header comes later: the batch in flight when the machine stopped. It
 *   was never acknowledged, and is cut off;
 * - damage, if one does: that later batch was written after everything before it had been synced. This
 *   rejects with LogCorruptError, and the files stay as they are.
 *
 * Older segments are checked when they are read.
 */
export async function recoverLog(
  settings: SegmentLogSettings,
  encoder: BatchEncoder,
): Promise<RecoveredLog> {
  const { files, directory, partitionCount } = settings;
  const names = await removeTemporary(settings);
  const identity = await readIdentity(files, directory, names);
  const numbers = names
    .map(segmentNumber)
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b);
  if (identity === undefined) return createLog(settings, encoder, numbers);
  checkPartitionCount(identity, partitionCount, directory);
  checkComplete(numbers, directory);

  const seed = seedOf(identity.epoch);
  const heads: Segment[] = [];
  for (const segment of numbers) {
    const path = segmentPath(directory, segment);
    heads.push(await readHead(settings, { seed, segment, path }));
  }
  const last = heads.pop();
  if (last === undefined) throw new LogCorruptError(`${directory} has no segment. ${RESTORE}`);
  const catalogue = createCatalogue(partitionCount);
  const active = await recoverActive(settings, last, catalogue);
  setStartOffsets(catalogue, heads[0] ?? active);
  for (const group of settings.forgottenGroups ?? []) catalogue.forget(group);
  return { identity, catalogue, segments: { sealed: heads, active } };
}

async function removeTemporary(settings: SegmentLogSettings): Promise<string[]> {
  const { files, directory } = settings;
  const names = await files.list(directory);
  for (const name of names) if (isTemporary(name)) await files.remove(join(directory, name));
  return names.filter((name) => !isTemporary(name));
}

/** The first segment before the identity: whoever finds an identity finds a segment too. */
async function createLog(
  settings: SegmentLogSettings,
  encoder: BatchEncoder,
  numbers: readonly number[],
): Promise<RecoveredLog> {
  const { files, directory, partitionCount, blockBytes, clock } = settings;
  const [number] = numbers;
  if (number !== undefined) {
    const path = segmentPath(directory, number);
    if (numbers.length > 1 || (await files.size(path)) > EMPTY_SEGMENT_BYTES_MAX) {
      throw new LogCorruptError(
        `${directory} has records but no identity.json, which says which log they belong to. ` +
          "Restore that file from a backup, or use an empty directory.",
      );
    }
    await files.remove(path);
  }
  const identity = newIdentity(partitionCount);
  const catalogue = createCatalogue(partitionCount);
  const place = { seed: seedOf(identity.epoch), segment: 1 };
  const nowMs = clock.nowMs();
  const active = await createSegment({
    files,
    directory,
    encoder,
    catalogue,
    blockBytes,
    place,
    nowMs,
  });
  await createIdentity(files, directory, identity, nowMs);
  return { identity, catalogue, segments: { sealed: [], active } };
}

function checkComplete(numbers: readonly number[], directory: string): void {
  const [first] = numbers;
  if (first === undefined) {
    throw new LogCorruptError(`${directory} has an identity but no segment. ${RESTORE}`);
  }
  for (const [i, number] of numbers.entries()) {
    if (number === first + i) continue;
    throw new LogCorruptError(`${segmentPath(directory, first + i)} is missing. ${RESTORE}`);
  }
}

/** Reads a segment's first batch. */
async function readHead(settings: SegmentLogSettings, source: ScanSource): Promise<Segment> {
  const bases = new Map<number, number>();
  let createTimeMs = 0;
  const visit: EntryVisitor = (kind, subject, partition, offset, timeMs) => {
    if (kind === entryKinds.segment) createTimeMs = timeMs;
    if (kind === entryKinds.base) bases.set(partitionKey(subject, partition), offset);
  };
  const end = await scanSegment(
    settings.files,
    source,
    (buffer, at, header) => visitEntries(buffer, at, header, visit),
    1,
  );
  if (end === 0) {
    throw new LogCorruptError(
      `${source.path} does not begin with a batch of this log: it is damaged, or from another one. ` +
        RESTORE,
    );
  }
  return { ...source, createTimeMs, bases };
}

/** Reads the last segment wholly, mends its end, and opens it for more. */
async function recoverActive(
  settings: SegmentLogSettings,
  segment: Segment,
  catalogue: Catalogue,
): Promise<ActiveSegment> {
  const { files, blockBytes, onProblem } = settings;
  const index = createSegmentIndex(blockBytes);
  const size = await scanSegment(files, segment, (buffer, at, header, position) => {
    index.addBatch(position, BATCH_HEADER_BYTES + header.bodyBytes);
    visitEntries(buffer, at, header, (kind, subject, partition, offset, _timeMs, from, to) => {
      if (kind === entryKinds.record) index.addRecord(partitionKey(subject, partition), offset);
      applyEntry(catalogue, kind, subject, partition, offset, buffer.subarray(from, to));
    });
  });
  const fileBytes = await files.size(segment.path);
  const later = fileBytes > size ? await findHeaderAfter(files, segment, size) : undefined;
  if (later !== undefined) {
    throw new LogCorruptError(
      `${segment.path} is damaged at byte ${size}, before the batch at byte ${later}. ${RESTORE}`,
    );
  }
  const file = await files.openAppend(segment.path);
  try {
    if (fileBytes > size) {
      await file.truncate(size);
      const message = `${segment.path}: cut ${fileBytes - size} bytes of an unfinished batch.`;
      onProblem({ kind: "torn-tail-cut", message });
    }
    // A killed process may have left batches that are whole, but only in the kernel's memory.
    await file.dataSync();
  } catch (error) {
    await file.close();
    throw error;
  }
  return { ...segment, file, index, size };
}

function applyEntry(
  catalogue: Catalogue,
  kind: number,
  subject: number,
  partition: number,
  offset: number,
  data: Buffer,
): void {
  switch (kind) {
    case entryKinds.topic:
      catalogue.restoreTopic(subject, data.toString("utf8"));
      break;
    case entryKinds.subscription:
      catalogue.restoreSubscription(subject, partition, data.toString("utf8"));
      break;
    case entryKinds.base:
      setEnd(catalogue, subject, partition, offset);
      break;
    case entryKinds.record:
      setEnd(catalogue, subject, partition, offset + 1);
      break;
    case entryKinds.commit: {
      const subscription = catalogue.subscriptionById(subject);
      if (subscription === undefined) break;
      subscription.committed[partition] = offset;
      subscription.persisted[partition] = offset;
      break;
    }
  }
}

function setEnd(catalogue: Catalogue, topicId: number, partition: number, offset: number): void {
  const found = catalogue.topicById(topicId)?.partitions[partition];
  if (found === undefined) return;
  found.endOffset = offset;
  found.nextOffset = offset;
}

function setStartOffsets(catalogue: Catalogue, oldest: Segment): void {
  for (const topic of catalogue.topics.values()) {
    for (const partition of topic.partitions) {
      partition.startOffset = oldest.bases.get(partition.key) ?? 0;
    }
  }
}
