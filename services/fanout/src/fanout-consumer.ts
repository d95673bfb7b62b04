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

export const FANOUT_TOPIC = "fanout";
export const FANOUT_GROUP = "fanout";

export type FanoutConsumerDependencies = {
  readonly log: Log;
  readonly dispatcher: Pick<Dispatcher, "dispatch">;
  readonly metrics: Pick<FanoutMetrics, "undecodable">;
  readonly logger: Logger;
};

/**
 * Records of one partition that are at work. The next batch is taken before the last one is durable, and
 * consecutive batches of a conversation merge meanwhile; above this the partition waits.
 */
const RECORDS_AT_WORK_MAX = 4096;

/**
 * Starts consuming all partitions that this process gets. A record's offset is committed once it and
 * everything before it is in the inboxes on disk and handed to the gateways.
 */
export async function startFanoutConsumer(
  dependencies: FanoutConsumerDependencies,
): Promise<LogConsumer> {
  const partitions = new Map<number, PartitionProgress>();
  const progressOf = (partition: number) => {
    let progress = partitions.get(partition);
    if (progress === undefined) {
      progress = createProgress((nextOffset) => consumer?.commit(partition, nextOffset));
      partitions.set(partition, progress);
    }
    return progress;
  };
  let consumer: LogConsumer | undefined;
  consumer = await dependencies.log.consume({
    topic: FANOUT_TOPIC,
    group: FANOUT_GROUP,
    onBatch: (batch) => handleBatch(dependencies, progressOf(batch.partition), batch),
    async onRevoked(partition) {
      await partitions.get(partition)?.idle();
      partitions.delete(partition);
    },
  });
  return consumer;
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
  progress.add(records.length, nextOffset, Promise.all(dispatched));
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

type PartitionProgress = {
  /** Records that are finished when `done` resolves; never, when it rejects. */
  add(recordCount: number, nextOffset: number, done: Promise<unknown>): void;
  /** Resolves when there is room for more records. */
  room(): Promise<void>;
  /** Resolves when nothing is at work. */
  idle(): Promise<void>;
};

/** Follows one partition, and commits in order whatever the order in which its records are finished. */
function createProgress(commit: (nextOffset: number) => void): PartitionProgress {
  let atWork = 0;
  let tail: Promise<unknown> = Promise.resolve();
  let failed = false;
  let changed = createDeferred<void>();
  return {
    add(recordCount, nextOffset, done) {
      atWork += recordCount;
      done.catch(() => undefined);
      tail = tail
        .then(() => done)
        .then(
          () => {
            if (!failed) commit(nextOffset);
          },
          () => {
            // Fan-out is stopping: what was not finished comes again after the next start.
            failed = true;
          },
        )
        .then(() => {
          atWork -= recordCount;
          changed.resolve();
        });
    },
    async room() {
      while (atWork > RECORDS_AT_WORK_MAX) {
        changed = createDeferred();
        await changed.promise;
      }
    },
    async idle() {
      await tail;
    },
  };
}
