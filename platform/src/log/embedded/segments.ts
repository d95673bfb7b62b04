import { join } from "node:path";
import type { Catalogue } from "./catalogue.ts";
import { NOT_COMMITTED } from "./catalogue.ts";
import type { AppendFile, SegmentFiles } from "./files.ts";
import { type BatchEncoder, type BatchPlace, entryKinds } from "./frame.ts";
import { createSegmentIndex, type SegmentIndex } from "./segment-index.ts";

/** One file of the log. */
export type Segment = BatchPlace & {
  readonly path: string;
  readonly createTimeMs: number;
  /** First offset in this segment by partition key; a partition that is not in it begins at 0. */
  readonly bases: ReadonlyMap<number, number>;
};

/** The segment that takes records. */
export type ActiveSegment = Segment & {
  readonly file: AppendFile;
  readonly index: SegmentIndex;
  /** Bytes that are on disk. */
  size: number;
};

/** The segments of a log in order: sealed ones, then the one that takes records. */
export type Segments = {
  readonly sealed: Segment[];
  active: ActiveSegment;
};

const NAME = /^(\d{10})\.segment$/;
const TEMPORARY = ".new";
const NO_DATA = new Uint8Array(0);

export function segmentPath(directory: string, segment: number): string {
  return join(directory, `${String(segment).padStart(10, "0")}.segment`);
}

/** The number in a segment file's name; undefined for any other file. */
export function segmentNumber(name: string): number | undefined {
  const match = NAME.exec(name);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/** Whether a file is what a crash left of something that was being made under another name. */
export function isTemporary(name: string): boolean {
  return name.endsWith(TEMPORARY);
}

/**
 * Makes a file durable under its name: written and synced under a temporary one, renamed, and the
 * directory synced. A crash leaves the whole file or none.
 */
export async function createDurableFile(
  files: SegmentFiles,
  directory: string,
  path: string,
  bytes: Uint8Array,
): Promise<AppendFile> {
  const temporary = path + TEMPORARY;
  const file = await files.openAppend(temporary);
  try {
    await file.append(bytes);
    await file.dataSync();
    await files.rename(temporary, path);
    await files.syncDirectory(directory);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

type NewSegment = {
  readonly files: SegmentFiles;
  readonly directory: string;
  readonly encoder: BatchEncoder;
  readonly catalogue: Catalogue;
  readonly blockBytes: number;
  readonly place: BatchPlace;
  readonly nowMs: number;
};

/**
 * Creates a segment. Its first batch repeats all that earlier segments say besides records: topics,
 * groups, commits, and the offset at which each partition goes on. So the log is known from its last
 * segment alone, and any number of the oldest can be deleted.
 *
 * The catalogue must stand still meanwhile: no batch in flight.
 */
export async function createSegment(options: NewSegment): Promise<ActiveSegment> {
  const { files, directory, encoder, catalogue, place, nowMs } = options;
  const bases = new Map<number, number>();
  const snapshots = new Map<number, readonly number[]>();
  const topics = [...catalogue.topics.values()];
  encoder.reset();
  encoder.add(entryKinds.segment, 0, 0, place.segment, nowMs, NO_DATA);
  for (const topic of topics) {
    encoder.add(entryKinds.topic, topic.id, 0, 0, nowMs, Buffer.from(topic.name));
    for (const { partition, key, endOffset } of topic.partitions) {
      if (endOffset === 0) continue;
      encoder.add(entryKinds.base, topic.id, partition, endOffset, nowMs, NO_DATA);
      bases.set(key, endOffset);
    }
  }
  for (const { id, topic, group, committed } of catalogue.subscriptions) {
    encoder.add(entryKinds.subscription, id, topic.id, 0, nowMs, Buffer.from(group));
    snapshots.set(id, [...committed]);
    for (const [partition, offset] of committed.entries()) {
      if (offset === NOT_COMMITTED) continue;
      encoder.add(entryKinds.commit, id, partition, offset, nowMs, NO_DATA);
    }
  }
  const snapshot = encoder.finish(place, 0);
  const path = segmentPath(directory, place.segment);
  const file = await createDurableFile(files, directory, path, snapshot);
  const index = createSegmentIndex(options.blockBytes);
  index.addBatch(0, snapshot.byteLength);
  for (const topic of topics) topic.declared = true;
  markWritten(catalogue, snapshots);
  const size = snapshot.byteLength;
  return { ...place, path, createTimeMs: nowMs, bases, file, index, size };
}

/** Notes what a snapshot has put on disk; what was committed while it was written stays dirty. */
function markWritten(catalogue: Catalogue, snapshots: Map<number, readonly number[]>): void {
  for (const subscription of catalogue.subscriptions) {
    const snapshot = snapshots.get(subscription.id);
    if (snapshot === undefined) continue;
    subscription.declared = true;
    for (const [partition, offset] of snapshot.entries()) {
      subscription.persisted[partition] = offset;
      if (subscription.committed[partition] === offset) subscription.dirty.delete(partition);
    }
  }
}
