import type { ConnectionOptions } from "node:tls";
import type { SASLOptions } from "kafkajs";
import { systemClock, type TimerClock } from "../../clock.ts";

/** Something an operator should know. Nothing is lost by it that was acknowledged. */
export type KafkaLogProblem = {
  /**
   * `append-failed`: records were not acknowledged; their callers repeat them. `delivery-failed`: a batch
   * could not be handled; the same records come again. `assign-failed`: a partition's state could not be
   * loaded; it is tried again. `consumer-lost`: the group was left and is joined again. `commit-failed`: a
   * commit is repeated later. `log-replaced`: this is not the log that the stores were made from any more;
   * nothing is taken and nothing delivered until the process starts again.
   */
  readonly kind:
    | "append-failed"
    | "delivery-failed"
    | "assign-failed"
    | "consumer-lost"
    | "commit-failed"
    | "log-replaced";
  readonly message: string;
  readonly error?: unknown;
  readonly topic?: string;
  readonly group?: string;
  readonly partition?: number;
  readonly offset?: number;
};

/** A name and a password, as the brokers want them. */
export type KafkaSasl = Extract<
  SASLOptions,
  { mechanism: "plain" | "scram-sha-256" | "scram-sha-512" }
>;

export type KafkaLogOptions = {
  /** `host:port` of some brokers; the others are learned from them. */
  readonly brokers: readonly string[];
  /** How this process is called in the brokers' logs. */
  readonly clientId: string;
  /** Stands before the name of every topic and group, so that installations can share brokers. */
  readonly prefix: string;
  /** Partitions of every topic, 1 to 1,024; must be what the log was created with. */
  readonly partitionCount: number;
  /** Called for every problem; must not throw. */
  readonly onProblem: (problem: KafkaLogProblem) => void;
  /** With TLS to the brokers; undefined for none. */
  readonly tls?: ConnectionOptions | undefined;
  readonly sasl?: KafkaSasl | undefined;
} & Partial<KafkaLogTuning>;

/** What has a sensible default. */
export type KafkaLogTuning = {
  /** Copies of each record; 3 survive the loss of one broker without losing or refusing anything. */
  readonly replicationFactor: number;
  /** Copies that must have a record before it is acknowledged. */
  readonly minInSyncReplicas: number;
  /** How long the brokers keep records. */
  readonly retentionMs: number;
  /** Memory of records that may wait for the brokers; beyond it `append` rejects with LogOverloadedError. */
  readonly queueBytesMax: number;
  /** Records handed to a handler at once. */
  readonly deliveryRecordsMax: number;
  /** Bytes of values handed to a handler at once; one larger value goes alone. */
  readonly deliveryBytesMax: number;
  /** Fetched bytes of a partition that may wait for its handler; beyond it fetching pauses. */
  readonly bufferBytesMax: number;
  /** How long commits are collected before they are written. */
  readonly commitDelayMs: number;
  /** A member that is silent for so long has lost its partitions. */
  readonly sessionTimeoutMs: number;
  /** A request that a broker does not answer for so long has failed. */
  readonly requestTimeoutMs: number;
  /** First and longest pause after a failure. */
  readonly retryPauseMinMs: number;
  readonly retryPauseMaxMs: number;
  readonly clock: TimerClock;
};

/** Options with every value present. */
export type KafkaLogSettings = Omit<KafkaLogOptions, keyof KafkaLogTuning> & KafkaLogTuning;

/** Kafka has no such limit; ours is that a partition fits into the 10 bits a message id has for it. */
const PARTITION_COUNT_MAX = 1024;

const MIB = 1024 * 1024;
const SECOND_MS = 1000;
const DAY_MS = 86_400 * SECOND_MS;

const defaults: KafkaLogTuning = {
  replicationFactor: 3,
  minInSyncReplicas: 2,
  retentionMs: 7 * DAY_MS, // The window in which a repeated message is recognised.
  queueBytesMax: 32 * MIB, // Some seconds of slow brokers.
  deliveryRecordsMax: 500,
  deliveryBytesMax: MIB,
  bufferBytesMax: 4 * MIB, // A few deliveries ahead, times the partitions of this process.
  commitDelayMs: 500, // What a crash may make a group see again.
  sessionTimeoutMs: 6 * SECOND_MS, // The least that brokers take: conversations stand still for so long when a process dies.
  requestTimeoutMs: 10 * SECOND_MS,
  retryPauseMinMs: 100,
  retryPauseMaxMs: 5 * SECOND_MS,
  clock: systemClock,
};

/** Fills in the defaults. Throws RangeError for a value that no log can have. */
export function toSettings(options: KafkaLogOptions): KafkaLogSettings {
  const settings: KafkaLogSettings = { ...defaults, ...options };
  const { partitionCount, replicationFactor, minInSyncReplicas } = settings;
  const integral = Number.isSafeInteger(partitionCount);
  if (!integral || partitionCount < 1 || partitionCount > PARTITION_COUNT_MAX) {
    throw new RangeError(
      `partitionCount must be 1 to ${PARTITION_COUNT_MAX}, and is ${partitionCount}.`,
    );
  }
  if (!(minInSyncReplicas >= 1 && minInSyncReplicas <= replicationFactor)) {
    throw new RangeError(
      `minInSyncReplicas must be 1 to ${replicationFactor} (the replication factor), and is ${minInSyncReplicas}.`,
    );
  }
  return settings;
}
