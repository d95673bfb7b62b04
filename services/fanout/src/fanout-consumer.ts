/** The consumer of topic `fanout`: what is dispatched through the log, so that groups never hold up others. */
import { fromBinary } from "@bufbuild/protobuf";
import {
  type FanoutBatch,
  FanoutBatchSchema,
} from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import { createDeferred } from "@parley/platform/async/deferred";
import type { Log, LogBatch, LogConsumer, LogRecord } from "@parley/platform/log/port";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { Dispatcher } from "./dispatcher.ts";
import type { FanoutMetrics } from "./fanout-metrics.ts";
import { FANOUT_TOPIC, findReplayOffset } from "./log-identity.ts";
import type { InboxStore } from "./ports.ts";

export const FANOUT_GROUP = "fanout";

export type FanoutConsumerDependencies = {
  readonly log: Log;
  readonly store: Pick<InboxStore, "readPlace" | "saveReplayOffset">;
  readonly dispatcher: Pick<Dispatcher, "dispatch">;
  readonly metrics: Pick<FanoutMetrics, "undecodable">;
  readonly logger: Logger;
};

/**
 * Records of one partition that are at work. The next batch is taken before the last one is durable, and
 * consecutive batches of a conversation merge meanwhile; above this the partition waits.
 */
const RECORDS_AT_WORK_MAX = 4096;
/** Bytes of theirs: what a disk that takes no writes may hold up in memory, per partition. */
const BYTES_AT_WORK_MAX = 8 * 1024 * 1024;

/**
 * Starts consuming all partitions that this process gets, each at the store's own place. That place moves on,
 * and with it the offset that is committed, once a record and everything before it is in the inboxes on disk
 * and handed to the gateways. Rejects with InboxIdentityError when the log does not hold what is missing.
 */
export async function startFanoutConsumer(
  dependencies: FanoutConsumerDependencies,
): Promise<LogConsumer> {
  const { log, store } = dependencies;
  const partitions = new Map<number, PartitionProgress>();
  const progressOf = (partition: number) => {
    let progress = partitions.get(partition);
    if (progress === undefined) {
      progress = createProgress((nextOffset) => finish(partition, nextOffset));
      partitions.set(partition, progress);
    }
    return progress;
  };
  const finish = (partition: number, nextOffset: number) => {
    store.saveReplayOffset(partition, nextOffset).then(
      // What replay needs must not leave the log before that.
      () => consumer?.commit(partition, nextOffset),
      // The store was closed first: the next start begins at what is on disk.
      () => undefined,
    );
  };
  let consumer: LogConsumer | undefined;
  const consuming = await log.consume({
    topic: FANOUT_TOPIC,
    group: FANOUT_GROUP,
    onAssigned: (partition) => findReplayOffset(store, log, partition),
    onBatch: (batch) => handleBatch(dependencies, progressOf(batch.partition), batch),
    async onRevoked(partition) {
      await partitions.get(partition)?.idle();
      partitions.delete(partition);
    },
  });
  consumer = consuming;
  return {
    commit: (partition, nextOffset) => consuming.commit(partition, nextOffset),
    async [Symbol.asyncDispose]() {
      // A handler that waits for room would hold up the end for as long as the disk takes no writes.
      for (const progress of partitions.values()) progress.stop();
      await consuming[Symbol.asyncDispose]();
    },
  };
}

/** Resolves when the partition may bring its next batch. */
async function handleBatch(
  dependencies: FanoutConsumerDependencies,
  progress: PartitionProgress,
  { records }: LogBatch,
): Promise<void> {
  const dispatched = records.flatMap((record) => {
    const batch = decode(dependencies, record);
    return batch === undefined ? [] : [dependencies.dispatcher.dispatch(batch)];
  });
  const nextOffset = (records.at(-1)?.offset ?? 0) + 1;
  const bytes = records.reduce((sum, { value }) => sum + value.byteLength, 0);
  progress.add({ records: records.length, bytes }, nextOffset, Promise.all(dispatched));
  await progress.room();
}

/** A record that cannot be decoded never can be: it is reported and skipped, by everybody the same way. */
function decode(
  { metrics, logger }: FanoutConsumerDependencies,
  { value, topic, partition, offset }: LogRecord,
): FanoutBatch | undefined {
  try {
    return fromBinary(FanoutBatchSchema, value);
  } catch (error) {
    metrics.undecodable();
    logger.error({ topic, partition, offset, error }, "A record cannot be decoded; it is skipped.");
    return undefined;
  }
}

type Work = { readonly records: number; readonly bytes: number };

type PartitionProgress = {
  /** Records that are finished when `done` resolves; never, when it rejects. */
  add(work: Work, nextOffset: number, done: Promise<unknown>): void;
  /** Resolves when there is room for more records, or it stops. */
  room(): Promise<void>;
  /** Lets go who waits for room. */
  stop(): void;
  /** Resolves when nothing is at work. */
  idle(): Promise<void>;
};

/** Follows one partition, and finishes in order whatever the order in which its records are finished. */
function createProgress(finish: (nextOffset: number) => void): PartitionProgress {
  const atWork = { records: 0, bytes: 0 };
  let tail: Promise<unknown> = Promise.resolve();
  let failed = false;
  let stopped = false;
  let changed = createDeferred<void>();
  return {
    add({ records, bytes }, nextOffset, done) {
      atWork.records += records;
      atWork.bytes += bytes;
      done.catch(() => undefined);
      tail = tail
        .then(() => done)
        .then(
          () => {
            if (!failed) finish(nextOffset);
          },
          () => {
            // Fan-out is stopping: what was not finished comes again after the next start.
            failed = true;
          },
        )
        .then(() => {
          atWork.records -= records;
          atWork.bytes -= bytes;
          changed.resolve();
        });
    },
    async room() {
      while (
        !stopped &&
        (atWork.records > RECORDS_AT_WORK_MAX || atWork.bytes > BYTES_AT_WORK_MAX)
      ) {
        changed = createDeferred();
        await changed.promise;
      }
    },
    stop() {
      stopped = true;
      changed.resolve();
    },
    async idle() {
      await tail;
    },
  };
}
