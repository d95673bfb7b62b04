import { systemClock, type TimerClock } from "../../clock.ts";
import type { SegmentFiles } from "./files.ts";
import { nodeFiles } from "./node-files.ts";

/** Something an operator should know. Nothing is lost by it that was acknowledged. */
export type LogProblem =
  | {
      /**
       * `torn-tail-cut`: the last batch before a crash was incomplete and was removed; none of it had been
       * acknowledged. `write-failed`: the log takes no more records until it is opened again.
       * `retention-failed`: old segments stay until the next attempt.
       */
      readonly kind: "torn-tail-cut" | "write-failed" | "retention-failed";
      readonly message: string;
      readonly error?: unknown;
    }
  | {
      /** A batch could not be read or handled; the same records come again after `pauseMs`. */
      readonly kind: "delivery-failed";
      readonly message: string;
      readonly error: unknown;
      readonly topic: string;
      readonly group: string;
      readonly partition: number;
      /** Where delivery stands. */
      readonly offset: number;
      /** Failures in a row, this one included. */
      readonly attempt: number;
      readonly pauseMs: number;
    };

/** A batch that is on disk, as figures. */
export type WrittenBatch = {
  /** Records in it; 0 when it holds only committed offsets or names. */
  readonly records: number;
  /** In the file, framing included. */
  readonly bytes: number;
  /** Time of its sync, in ms; the write before it is not counted. */
  readonly syncMs: number;
};

export type SegmentLogOptions = {
  /** Directory of this log alone; created if missing. One process at a time opens it. */
  readonly directory: string;
  /** Partitions of every topic, 1 to PARTITION_COUNT_MAX; must be what the log was created with. */
  readonly partitionCount: number;
  /** Called for every problem; must not throw. */
  readonly onProblem: (problem: LogProblem) => void;
  /** Called after every batch that reached the disk; must be cheap and must not throw. */
  readonly onBatchWritten?: (batch: WrittenBatch) => void;
  /** Groups that no longer exist: forgotten on open, so that they no longer hold retention back. */
  readonly forgottenGroups?: readonly string[];
} & Partial<SegmentLogTuning>;

/** What has a sensible default. */
export type SegmentLogTuning = {
  /** A segment that has reached this size is followed by a new one. */
  readonly segmentBytesMax: number;
  /** A segment that is older than this is followed by a new one when the next record comes. */
  readonly segmentAgeMaxMs: number;
  /** A record may be deleted once it is older than this and every known group has committed it. */
  readonly retentionMs: number;
  /** How often retention looks. */
  readonly retentionCheckMs: number;
  /** How long a batch collects before it is written, in ms; 0 is the present turn of the event loop. */
  readonly batchWindowMs: number;
  /** A batch that has reached this size is closed; one record may take it beyond. */
  readonly batchBytesMax: number;
  /** Memory of records that may wait for the disk; beyond it `append` rejects with LogOverloadedError. */
  readonly queueBytesMax: number;
  /** Records handed to a handler at once. */
  readonly deliveryRecordsMax: number;
  /** Bytes of values handed to a handler at once; one larger value goes alone. */
  readonly deliveryBytesMax: number;
  /** Memory for the newest records; a consumer that is further behind reads the files. */
  readonly tailBytesMax: number;
  /** What is read from a file at once; the grain of the index. */
  readonly blockBytes: number;
  /** How long commits are collected before they are written. */
  readonly commitDelayMs: number;
  /** First and longest pause after a failed delivery. */
  readonly retryPauseMinMs: number;
  readonly retryPauseMaxMs: number;
  readonly clock: TimerClock;
  readonly files: SegmentFiles;
};

/** Kafka has no such limit; ours is that a partition fits into the 10 bits a message id has for it. */
export const PARTITION_COUNT_MAX = 1024;

/** Positions in a segment are 32 bits; 1 GiB leaves room for the batch that crosses the limit. */
const SEGMENT_BYTES_LIMIT = 2 ** 30;

const MIB = 1024 * 1024;
const SECOND_MS = 1000;
const DAY_MS = 86_400 * SECOND_MS;

const defaults: SegmentLogTuning = {
  segmentBytesMax: 64 * MIB, // Opening scans one segment: 64 MiB is well under half a second.
  segmentAgeMaxMs: DAY_MS, // So that retention also comes round in a quiet log.
  retentionMs: 7 * DAY_MS, // The window in which a repeated message is recognised.
  retentionCheckMs: 60 * SECOND_MS,
  batchWindowMs: 0, // A sync in flight is the window: a lone record does not wait.
  batchBytesMax: MIB, // Above this a sync takes longer with size, and everybody waits for it.
  queueBytesMax: 32 * MIB, // Some seconds of a slow disk.
  deliveryRecordsMax: 500,
  deliveryBytesMax: MIB,
  tailBytesMax: 8 * MIB, // Several syncs of the busiest log.
  blockBytes: MIB / 4, // A read of 256 KiB costs little more than one of 4 KiB.
  commitDelayMs: 500, // What a crash may make a group see again.
  retryPauseMinMs: 50,
  retryPauseMaxMs: 5 * SECOND_MS,
  clock: systemClock,
  files: nodeFiles,
};

/** Options with every value present. */
export type SegmentLogSettings = Omit<SegmentLogOptions, keyof SegmentLogTuning> & SegmentLogTuning;

/** Fills in the defaults. Throws RangeError for a value that no log can have. */
export function toSettings(options: SegmentLogOptions): SegmentLogSettings {
  const settings: SegmentLogSettings = { ...defaults, ...options };
  const { partitionCount, segmentBytesMax } = settings;
  if (
    !Number.isSafeInteger(partitionCount) ||
    partitionCount < 1 ||
    partitionCount > PARTITION_COUNT_MAX
  ) {
    throw new RangeError(
      `partitionCount must be 1 to ${PARTITION_COUNT_MAX}, and is ${partitionCount}.`,
    );
  }
  if (!(segmentBytesMax > 0 && segmentBytesMax <= SEGMENT_BYTES_LIMIT)) {
    throw new RangeError(
      `segmentBytesMax must be 1 to ${SEGMENT_BYTES_LIMIT}, and is ${segmentBytesMax}.`,
    );
  }
  return settings;
}
