import { join } from "node:path";
import type { Timer } from "../../clock.ts";
import {
  type ConsumeOptions,
  LOG_VALUE_BYTES_MAX,
  type Log,
  type LogConsumer,
  type LogIdentity,
  type LogPosition,
  LogRangeError,
  LogUnavailableError,
  type PartitionRange,
} from "../port.ts";
import { NOT_COMMITTED, type Partition, partitionAt, type Subscription } from "./catalogue.ts";
import { type Cursor, createCursor } from "./consumer.ts";
import { createBatchEncoder } from "./frame.ts";
import { type SegmentLogOptions, type SegmentLogSettings, toSettings } from "./options.ts";
import { createDiskReader, type DiskReader } from "./reader.ts";
import { type RecoveredLog, recoverLog } from "./recovery.ts";
import { createRetention, type Retention } from "./retention.ts";
import { createTailWindow } from "./tail.ts";
import { createWriter, type Writer } from "./writer.ts";

/**
 * Opens the log in a directory, or creates it: the log of one process, without a server. This process
 * owns all partitions; a group has one consumer per topic at a time.
 *
 * Rejects with LogLockedError when the directory is open already, LogIdentityError when the log has
 * another partition count, LogCorruptError when synced bytes have changed, RangeError for options that no
 * log can have.
 *
 * Disposing it finishes the batches that are being handled (appends of their handlers succeed), then
 * writes what is waiting, then refuses.
 */
export async function createSegmentLog(options: SegmentLogOptions): Promise<Log> {
  const settings = toSettings(options);
  const { files, directory } = settings;
  await files.createDirectory(directory);
  await using resources = new AsyncDisposableStack();
  resources.use(await files.lock(join(directory, "lock")));
  const encoder = createBatchEncoder();
  const recovered = await recoverLog(settings, encoder);
  const { catalogue, segments } = recovered;
  resources.defer(() => segments.active.file.close());
  const retention = createRetention(settings, catalogue, segments);
  await retention.run();
  const tail = createTailWindow(settings.tailBytesMax);
  const onSealed = () => void retention.run();
  const writer = createWriter({ settings, catalogue, segments, encoder, tail, onSealed });
  const reader = createDiskReader(files, segments, settings.blockBytes);
  const parts = { settings, recovered, writer, reader, retention };
  return new SegmentLog(parts, resources.move());
}

type Parts = {
  readonly settings: SegmentLogSettings;
  readonly recovered: RecoveredLog;
  readonly writer: Writer;
  readonly reader: DiskReader;
  readonly retention: Retention;
};

class SegmentLog implements Log {
  readonly identity: LogIdentity;
  readonly #parts: Parts;
  readonly #resources: AsyncDisposableStack;
  readonly #consumers = new Set<LogConsumer>();
  #commitTimer: Timer | undefined;
  #retentionTimer: Timer;
  #disposed: Promise<void> | undefined;

  constructor(parts: Parts, resources: AsyncDisposableStack) {
    this.identity = parts.recovered.identity;
    this.#parts = parts;
    this.#resources = resources;
    this.#retentionTimer = this.#setRetentionTimer();
  }

  append(topic: string, partition: number, value: Uint8Array): Promise<LogPosition> {
    try {
      if (value.byteLength > LOG_VALUE_BYTES_MAX) throw new RangeError(tooLarge(value.byteLength));
      const found = partitionAt(this.#parts.recovered.catalogue.topic(topic), partition);
      return this.#parts.writer.append(found, value);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async range(topic: string, partition: number): Promise<PartitionRange> {
    const known = this.#parts.recovered.catalogue.topics.get(topic);
    if (known === undefined) return { startOffset: 0, endOffset: 0 };
    const { startOffset, endOffset } = partitionAt(known, partition);
    return { startOffset, endOffset };
  }

  async consume(options: ConsumeOptions): Promise<LogConsumer> {
    if (this.#disposed !== undefined) throw new LogUnavailableError("The log is closed.");
    const { settings, recovered, reader, writer } = this.#parts;
    const { catalogue } = recovered;
    const topic = catalogue.topic(options.topic);
    const subscription = catalogue.subscription(topic, options.group);
    if (subscription.active) {
      const { group } = subscription;
      throw new Error(
        `Group ${group} consumes ${topic.name} already; dispose that consumer first.`,
      );
    }
    subscription.active = true;
    let starts: number[];
    try {
      const assigned = await Promise.all(
        topic.partitions.map(async ({ partition }) => options.onAssigned?.(partition)),
      );
      starts = topic.partitions.map((partition) =>
        startOf(partition, subscription, assigned[partition.partition]),
      );
      if (this.#disposed !== undefined) throw new LogUnavailableError("The log is closed.");
    } catch (error) {
      subscription.active = false;
      throw error;
    }
    // From here on the group is known, and retention waits for it.
    writer.flushCommits();
    const cursors = topic.partitions.map((partition, i) => {
      const cursor = createCursor({ settings, reader, options, partition }, starts[i] ?? 0);
      partition.followers.add(cursor);
      cursor.wake();
      return cursor;
    });
    return this.#createConsumer(subscription, cursors);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#close();
    return this.#disposed;
  }

  async #close(): Promise<void> {
    await using _resources = this.#resources;
    this.#retentionTimer.cancel();
    await Promise.all([...this.#consumers].map((consumer) => consumer[Symbol.asyncDispose]()));
    this.#commitTimer?.cancel();
    await this.#parts.writer.close();
    await this.#parts.retention.run();
  }

  #createConsumer(subscription: Subscription, cursors: readonly Cursor[]): LogConsumer {
    let disposed: Promise<void> | undefined;
    const dispose = async (): Promise<void> => {
      await Promise.all(cursors.map((cursor) => cursor.stop()));
      for (const [i, { followers }] of subscription.topic.partitions.entries()) {
        const cursor = cursors[i];
        if (cursor !== undefined) followers.delete(cursor);
      }
      subscription.active = false;
      this.#consumers.delete(consumer);
    };
    const consumer: LogConsumer = {
      commit: (partition, nextOffset) => {
        if (subscription.active) this.#commit(subscription, partition, nextOffset);
      },
      [Symbol.asyncDispose]: () => {
        disposed ??= dispose();
        return disposed;
      },
    };
    this.#consumers.add(consumer);
    return consumer;
  }

  #commit(subscription: Subscription, partition: number, nextOffset: number): void {
    const { endOffset } = partitionAt(subscription.topic, partition);
    if (!Number.isSafeInteger(nextOffset) || nextOffset < 0 || nextOffset > endOffset) {
      throw new RangeError(
        `Offset ${nextOffset} cannot be committed: the partition ends at ${endOffset}.`,
      );
    }
    if (nextOffset <= (subscription.committed[partition] ?? NOT_COMMITTED)) return;
    subscription.committed[partition] = nextOffset;
    subscription.dirty.add(partition);
    const { settings, writer } = this.#parts;
    this.#commitTimer ??= settings.clock.setTimer(settings.commitDelayMs, () => {
      this.#commitTimer = undefined;
      writer.flushCommits();
    });
  }

  #setRetentionTimer(): Timer {
    const { settings, retention } = this.#parts;
    return settings.clock.setTimer(settings.retentionCheckMs, () => {
      this.#retentionTimer = this.#setRetentionTimer();
      void retention.run();
    });
  }
}

/** Where delivery of a partition begins: the handler's own checkpoint, the commit, or the oldest record. */
function startOf(
  { partition, startOffset, endOffset }: Partition,
  { topic, group, committed }: Subscription,
  assigned: number | undefined,
): number {
  const resumed = committed[partition] ?? NOT_COMMITTED;
  const start = assigned ?? (resumed === NOT_COMMITTED ? startOffset : resumed);
  if (Number.isSafeInteger(start) && start >= startOffset && start <= endOffset) return start;
  throw new LogRangeError(
    `Group ${group} asks for ${topic.name}/${partition} from offset ${start}, and the log holds ` +
      `${startOffset} to ${endOffset}: it was recreated or truncated.`,
  );
}

function tooLarge(bytes: number): string {
  return `A record's value is at most ${LOG_VALUE_BYTES_MAX} bytes, and this one is ${bytes}.`;
}
