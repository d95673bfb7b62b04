import { LogOverloadedError, type LogPosition, LogUnavailableError } from "../port.ts";
import {
  addRecord,
  type Batch,
  emptyBatch,
  encodeCommits,
  encodeNames,
  encodeRecords,
  queuedBytesOf,
  rejectBatch,
  resolveBatch,
  takeCommits,
} from "./batch.ts";
import type { Catalogue, Partition } from "./catalogue.ts";
import type { BatchEncoder } from "./frame.ts";
import type { SegmentLogSettings } from "./options.ts";
import { createSegment, type Segments } from "./segments.ts";
import type { TailWindow } from "./tail.ts";

/**
 * The one who writes: group commit. One batch is on its way to the disk, the next one collects; one write
 * and one sync per batch, then all who wait for it are answered and the consumers woken.
 */
export type Writer = {
  /** As `Log.append`, for a partition of the catalogue. */
  append(partition: Partition, value: Uint8Array): Promise<LogPosition>;
  /** Writes the committed offsets that are not yet on disk, with the next batch. */
  flushCommits(): void;
  /** Accepts nothing more and resolves when all that was accepted is on disk or has been refused. */
  close(): Promise<void>;
};

export type WriterDeps = {
  readonly settings: SegmentLogSettings;
  readonly catalogue: Catalogue;
  readonly segments: Segments;
  readonly encoder: BatchEncoder;
  readonly tail: TailWindow;
  /** Called after a segment was sealed. */
  readonly onSealed: () => void;
};

export function createWriter(deps: WriterDeps): Writer {
  return new GroupCommitWriter(deps);
}

class GroupCommitWriter implements Writer {
  readonly #deps: WriterDeps;
  /** Batches that wait for their turn; the last one collects, the others are full. */
  readonly #waiting: Batch[] = [];
  #inFlight: Batch | undefined;
  /** Memory of the records that wait or are in flight. */
  #queuedBytes = 0;
  #commitsDue = false;
  #scheduled = false;
  #running = false;
  #failure: LogUnavailableError | undefined;
  #closed = false;
  #hasWritten = false;
  readonly #idle: (() => void)[] = [];

  constructor(deps: WriterDeps) {
    this.#deps = deps;
  }

  append(partition: Partition, value: Uint8Array): Promise<LogPosition> {
    const { settings } = this.#deps;
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#closed) return Promise.reject(new LogUnavailableError("The log is closed."));
    const bytes = queuedBytesOf(value);
    if (this.#queuedBytes + bytes > settings.queueBytesMax) {
      const message = `${this.#queuedBytes} bytes wait for the disk; nothing was written. Repeat later.`;
      return Promise.reject(new LogOverloadedError(message));
    }
    let batch = this.#waiting[this.#waiting.length - 1];
    if (batch === undefined || batch.bytes >= settings.batchBytesMax) {
      batch = emptyBatch();
      this.#waiting.push(batch);
    }
    this.#queuedBytes += bytes;
    this.#schedule();
    return addRecord(batch, partition, value, settings.clock.nowMs());
  }

  flushCommits(): void {
    if (this.#failure !== undefined || this.#closed) return;
    this.#commitsDue = true;
    this.#schedule();
  }

  async close(): Promise<void> {
    this.flushCommits();
    this.#closed = true;
    if (this.#scheduled || this.#running) {
      await new Promise<void>((done) => this.#idle.push(done));
    }
  }

  /**
   * After the present turn of the event loop, so that all that came in with it shares the sync; and also
   * after a batch, so that those who were just answered and go on at once share the next one.
   */
  #schedule(): void {
    if (this.#scheduled || this.#running) return;
    this.#scheduled = true;
    const { batchWindowMs } = this.#deps.settings;
    if (batchWindowMs > 0) setTimeout(() => this.#run(), batchWindowMs);
    else setImmediate(() => this.#run());
  }

  async #run(): Promise<void> {
    this.#scheduled = false;
    this.#running = true;
    try {
      do await this.#writeNext();
      while (this.#waiting.length > 1);
    } catch (error) {
      await this.#fail(error);
    }
    this.#running = false;
    if (this.#waiting.length > 0 || this.#commitsDue) this.#schedule();
    else for (const done of this.#idle.splice(0)) done();
  }

  async #writeNext(): Promise<void> {
    const { catalogue, segments, encoder, settings } = this.#deps;
    const nowMs = settings.clock.nowMs();
    if (this.#waiting.length > 0 && this.#needsRoll(nowMs)) await this.#roll(nowMs);
    const batch = this.#waiting.shift();
    this.#inFlight = batch;
    const commits = this.#commitsDue ? takeCommits(catalogue) : [];
    this.#commitsDue = false;

    encoder.reset();
    encodeNames(encoder, catalogue, nowMs);
    encodeCommits(encoder, commits, nowMs);
    if (batch !== undefined) encodeRecords(encoder, batch);
    // An orderly end leaves a batch with nothing in it: it proves that all before it was on disk, so that
    // damage to the last records cannot pass for a torn tail.
    const isLast = this.#closed && this.#waiting.length === 0 && this.#hasWritten;
    if (encoder.isEmpty && !isLast) return;
    const { active } = segments;
    const position = active.size;
    const bytes = encoder.finish(active, position);
    await active.file.append(bytes);
    const syncStartMs = performance.now();
    await active.file.dataSync();
    const syncMs = performance.now() - syncStartMs;

    this.#hasWritten = true;
    const { byteLength } = bytes;
    active.size += byteLength;
    active.index.addBatch(position, byteLength);
    for (const { subscription, partition, offset } of commits) {
      subscription.persisted[partition] = offset;
    }
    this.#inFlight = undefined;
    if (batch !== undefined) this.#publish(batch);
    settings.onBatchWritten?.({ records: batch?.records.length ?? 0, bytes: byteLength, syncMs });
  }

  /** The batch is on disk: consumers may see it, and those who wait for it are answered. */
  #publish(batch: Batch): void {
    const { records, partitions } = batch;
    const { index } = this.#deps.segments.active;
    this.#queuedBytes -= batch.queuedBytes;
    for (let i = 0; i < records.length; i++) {
      const record = records[i];
      const partition = partitions[i];
      if (record === undefined || partition === undefined) continue;
      index.addRecord(partition.key, record.offset);
      partition.endOffset = record.offset + 1;
    }
    this.#deps.tail.add(records, partitions);
    resolveBatch(batch);
    for (const { followers } of partitions) {
      for (const follower of followers) follower.wake();
    }
  }

  #needsRoll(nowMs: number): boolean {
    const { segments, settings } = this.#deps;
    const { size, createTimeMs } = segments.active;
    return size >= settings.segmentBytesMax || nowMs - createTimeMs >= settings.segmentAgeMaxMs;
  }

  async #roll(nowMs: number): Promise<void> {
    const { catalogue, encoder, segments, settings, onSealed } = this.#deps;
    const { files, directory, blockBytes } = settings;
    const sealed = segments.active;
    const { path, createTimeMs, bases, seed, segment } = sealed;
    const place = { seed, segment: segment + 1 };
    const fresh = { files, directory, blockBytes, encoder, catalogue, place, nowMs };
    segments.active = await createSegment(fresh);
    segments.sealed.push({ path, createTimeMs, bases, seed, segment });
    await sealed.file.close();
    onSealed();
  }

  /**
   * A write or a sync failed. Nobody can say what of the batch is on disk, and a second sync that
   * succeeds would not say it either, so the log takes nothing more. What was not acknowledged is cut
   * off: the next opening would find it in the kernel's memory and take it for what is on disk.
   */
  async #fail(error: unknown): Promise<void> {
    const { segments, settings } = this.#deps;
    const message = `The log in ${settings.directory} failed to write. It is read-only until it is opened again.`;
    this.#failure = new LogUnavailableError(message, { cause: error });
    settings.onProblem({ kind: "write-failed", message, error });
    if (this.#inFlight !== undefined) this.#waiting.unshift(this.#inFlight);
    this.#inFlight = undefined;
    for (const batch of this.#waiting.splice(0)) rejectBatch(batch, this.#failure);
    this.#commitsDue = false;
    const { file, size } = segments.active;
    try {
      await file.truncate(size);
      await file.dataSync();
    } catch {
      // Already reported as what it is: this disk takes no writes.
    }
  }
}
