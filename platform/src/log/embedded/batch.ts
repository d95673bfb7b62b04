import type { LogPosition, LogRecord } from "../port.ts";
import type { Catalogue, Partition, Subscription } from "./catalogue.ts";
import { type BatchEncoder, ENTRY_HEADER_BYTES, entryKinds } from "./frame.ts";
import { RECORD_OVERHEAD_BYTES } from "./tail.ts";

/** Records that go to disk together, with those who wait for them; the three arrays are parallel. */
export type Batch = {
  readonly records: LogRecord[];
  readonly partitions: Partition[];
  readonly settlers: PromiseWithResolvers<LogPosition>[];
  /** In the file. */
  bytes: number;
  /** In memory, while it waits. */
  queuedBytes: number;
};

/** A committed offset on its way to disk. */
export type CommitEntry = {
  readonly subscription: Subscription;
  readonly partition: number;
  readonly offset: number;
};

const NO_DATA = new Uint8Array(0);

export function emptyBatch(): Batch {
  return { records: [], partitions: [], settlers: [], bytes: 0, queuedBytes: 0 };
}

/** Memory that a record takes while it waits for the disk, about. */
export function queuedBytesOf(value: Uint8Array): number {
  return RECORD_OVERHEAD_BYTES + value.byteLength;
}

/** Gives the next offset of a partition to a value and adds it. Resolves when `resolveBatch` is called. */
export function addRecord(
  batch: Batch,
  partition: Partition,
  value: Uint8Array,
  appendTimeMs: number,
): Promise<LogPosition> {
  const settler = Promise.withResolvers<LogPosition>();
  batch.records.push({
    topic: partition.topic.name,
    partition: partition.partition,
    offset: partition.nextOffset++,
    appendTimeMs,
    value,
  });
  batch.partitions.push(partition);
  batch.settlers.push(settler);
  batch.bytes += ENTRY_HEADER_BYTES + value.byteLength;
  batch.queuedBytes += queuedBytesOf(value);
  return settler.promise;
}

export function resolveBatch(batch: Batch): void {
  const { records, settlers } = batch;
  for (let i = 0; i < records.length; i++) {
    const record = records[i];
    if (record === undefined) continue;
    const { partition, offset, appendTimeMs } = record;
    settlers[i]?.resolve({ partition, offset, appendTimeMs });
  }
}

export function rejectBatch(batch: Batch, reason: Error): void {
  for (const settler of batch.settlers) settler.reject(reason);
}

/** Takes the committed offsets that are not yet on disk. */
export function takeCommits(catalogue: Catalogue): CommitEntry[] {
  const commits: CommitEntry[] = [];
  for (const subscription of catalogue.subscriptions) {
    for (const partition of subscription.dirty) {
      commits.push({ subscription, partition, offset: subscription.committed[partition] ?? 0 });
    }
    subscription.dirty.clear();
  }
  return commits;
}

/** Writes the names that the present segment has not mentioned yet: before what refers to them. */
export function encodeNames(encoder: BatchEncoder, catalogue: Catalogue, nowMs: number): void {
  for (const topic of catalogue.topics.values()) {
    if (topic.declared) continue;
    topic.declared = true;
    encoder.add(entryKinds.topic, topic.id, 0, 0, nowMs, Buffer.from(topic.name));
  }
  for (const subscription of catalogue.subscriptions) {
    if (subscription.declared) continue;
    subscription.declared = true;
    const { id, topic, group } = subscription;
    encoder.add(entryKinds.subscription, id, topic.id, 0, nowMs, Buffer.from(group));
  }
}

export function encodeCommits(
  encoder: BatchEncoder,
  commits: readonly CommitEntry[],
  nowMs: number,
): void {
  for (const { subscription, partition, offset } of commits) {
    encoder.add(entryKinds.commit, subscription.id, partition, offset, nowMs, NO_DATA);
  }
}

export function encodeRecords(encoder: BatchEncoder, batch: Batch): void {
  const { records, partitions } = batch;
  for (let i = 0; i < records.length; i++) {
    const record = records[i];
    const partition = partitions[i];
    if (record === undefined || partition === undefined) continue;
    const { offset, appendTimeMs, value } = record;
    const topicId = partition.topic.id;
    encoder.add(entryKinds.record, topicId, record.partition, offset, appendTimeMs, value);
  }
}
