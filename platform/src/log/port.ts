/**
 * The log port: the only thing in Parley that orders.
 *
 * A log has topics; a topic has a fixed number of partitions; a partition is a sequence of records with
 * dense offsets from 0. State elsewhere (messages, inboxes) is a pure function of the records, so
 * everything here is written to make replay exact.
 *
 * Guarantees of every adapter:
 * - Durability: `append` resolves only after the record survives kill -9 of every process and the loss of
 *   power (embedded: one `fdatasync` per batch; Kafka: acks=all, min in-sync replicas 2).
 * - Order: records of one partition are delivered in offset order, to one handler at a time.
 * - At least once: a record is delivered again after a crash, a rebalance or a failed handler, until its
 *   offset has been committed. Handlers must be idempotent.
 * - Append time never decides order, and may go back between two records (a clock that was set); it is
 *   fixed when the record is appended and the same on every replay.
 */

/**
 * What makes a log *this* log. Stored with every store that is derived from it.
 *
 * Example of why an offset alone lies: a store has applied offsets 0..2 of a log that is then lost and
 * recreated. The new log's offset 3 continues the old numbers and is another history; the store would
 * skip 0..2 of it. With the epoch the store sees another log and refuses to serve.
 */
export type LogIdentity = {
  /** UUID, made when the log was created. */
  readonly epoch: string;
  /** Partitions of every topic; fixed for the life of the log, because keys hash onto it. */
  readonly partitionCount: number;
};

/** Where a record landed. */
export type LogPosition = {
  readonly partition: number;
  /** Dense from 0 within the partition; a safe integer. */
  readonly offset: number;
  /** The log's own clock when it took the record, in ms since the Unix epoch. */
  readonly appendTimeMs: number;
};

export type LogRecord = LogPosition & {
  readonly topic: string;
  /** Shared by all groups, and possibly the very bytes that were appended: nobody writes into it. */
  readonly value: Uint8Array;
};

/** The largest value of a record, in bytes: what every broker takes by default, its framing included. */
export const LOG_VALUE_BYTES_MAX = 1_000_000;

/** The offsets a partition holds: `[startOffset, endOffset)`. `startOffset` grows by retention. */
export type PartitionRange = { readonly startOffset: number; readonly endOffset: number };

/** Records of one partition in offset order; never empty. */
export type LogBatch = {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly LogRecord[];
};

export type ConsumeOptions = {
  readonly topic: string;
  /** Consumers of the same group share the partitions; each group has its own committed offsets. */
  readonly group: string;
  /**
   * Called when a partition becomes this consumer's, before its first batch. The returned offset is where
   * delivery starts (a store's own checkpoint); undefined means the group's committed offset, or the
   * oldest record if there is none. An offset outside the partition's range rejects `consume` with
   * `LogRangeError`: the log was recreated or truncated.
   */
  readonly onAssigned?: (partition: number) => Promise<number | undefined>;
  /**
   * Called with each batch. One call at a time per partition, concurrently for different partitions. A
   * rejection is reported, and the same records are delivered again after a growing pause: a record is
   * never skipped because its handler failed.
   */
  readonly onBatch: (batch: LogBatch) => Promise<void>;
  /** Called when a partition is lost to another consumer; the last batch has returned by then. */
  readonly onRevoked?: (partition: number) => Promise<void>;
};

export interface LogConsumer extends AsyncDisposable {
  /**
   * Records that everything before `nextOffset` is finished for this group. Cumulative; lower values than
   * an earlier one are ignored. Written behind, so a crash may forget the last ones (at least once), and
   * never ahead. Ignored once the consumer is disposed. An offset beyond the partition's end is a bug:
   * RangeError.
   */
  commit(partition: number, nextOffset: number): void;
}

export interface Log extends AsyncDisposable {
  readonly identity: LogIdentity;

  /**
   * Appends one record to the topic's partition and resolves when it is durable.
   *
   * Calls made within a short time share one batch and one sync. Order of calls to one partition from one
   * process is the order of their offsets. Rejects with `LogUnavailableError` when the outcome is unknown
   * or the log cannot take records (the caller repeats; a repetition may be a second record), and with
   * `LogOverloadedError` without having written when too many bytes already wait.
   *
   * The value is the log's from this call on: the caller does not change its bytes any more. A partition
   * that the log does not have, or a value above LOG_VALUE_BYTES_MAX, is a bug: RangeError.
   */
  append(topic: string, partition: number, value: Uint8Array): Promise<LogPosition>;

  /** Starts delivering a topic to this process as a member of a group. Disposing it finishes the running batches. */
  consume(options: ConsumeOptions): Promise<LogConsumer>;

  /** The offsets that a partition holds now. */
  range(topic: string, partition: number): Promise<PartitionRange>;
}

/** The outcome is unknown, or the log is not reachable: repeat later. */
export class LogUnavailableError extends Error {
  override readonly name = "LogUnavailableError";
}

/** Nothing was written, because the bounded queue in front of the log is full: repeat later, more slowly. */
export class LogOverloadedError extends Error {
  override readonly name = "LogOverloadedError";
}

/** A position outside what the log holds: the log was recreated or truncated under its stores. */
export class LogRangeError extends Error {
  override readonly name = "LogRangeError";
}
