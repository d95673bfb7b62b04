/** What can be set, and what it is if nobody sets it. */
import { join } from "node:path";
import {
  type Env,
  parseBytes,
  parseDuration,
  parseInteger,
  parsePath,
} from "@parley/platform/config";
import {
  type CassandraConfig,
  type CassandraEnvironment,
  readCassandraEnvironment,
  toCassandraConfig,
} from "@parley/platform/storage/engine/cassandra-config";

export type MessageEnvironment = {
  /** PARLEY_DATA_DIRECTORY */
  readonly dataDirectory?: string | undefined;
  /** PARLEY_MESSAGE_PAYLOAD_BYTES_MAX */
  readonly payloadBytesMax?: string | undefined;
  /** PARLEY_MESSAGE_DEDUPE_WINDOW */
  readonly dedupeWindow?: string | undefined;
  /** PARLEY_MESSAGE_CACHE_BYTES_MAX */
  readonly cacheBytesMax?: string | undefined;
  /** PARLEY_MESSAGE_CACHE_CONVERSATIONS_MAX */
  readonly cacheConversationsMax?: string | undefined;
  /** PARLEY_ADVERTISED_ADDRESS */
  readonly advertisedAddress?: string | undefined;
  /** PARLEY_CASSANDRA_… */
  readonly cassandra?: CassandraEnvironment;
  /** What a relative path starts from. */
  readonly workingDirectory: string;
};

export type MessageConfig = {
  /** `host:port` at which other services reach this instance; undefined where all are in one process. */
  readonly advertisedAddress: string | undefined;
  /** Where messages are, for all instances; undefined keeps them in `storeDirectory`. */
  readonly cassandra?: CassandraConfig | undefined;
  /** Directory of the embedded store alone. */
  readonly storeDirectory: string;
  /** The largest payload of a message, in bytes. */
  readonly payloadBytesMax: number;
  /** How long a repetition counts as one, in ms of append time. */
  readonly dedupeWindowMs: number;
  /** How long dedupe entries are kept, in ms: the window, and the log's retention behind it. */
  readonly dedupeKeptMs: number;
  /** Conversations whose state is kept in memory. */
  readonly cacheConversationsMax: number;
  readonly cacheBytesMax: number;
};

const KIB = 1024;
const MIB = 1024 * KIB;
const DAY_MS = 86_400_000;

/** What the contract's rules allow at most. */
const CONTRACT_PAYLOAD_BYTES_MAX = 256 * KIB;

/** A record may be applied this long after it was appended: twice the log's retention of 7 days. */
const REPLAY_MS_MAX = 14 * DAY_MS;

export function readEnvironment(env: Env): MessageEnvironment {
  return {
    dataDirectory: env.PARLEY_DATA_DIRECTORY,
    payloadBytesMax: env.PARLEY_MESSAGE_PAYLOAD_BYTES_MAX,
    dedupeWindow: env.PARLEY_MESSAGE_DEDUPE_WINDOW,
    cacheBytesMax: env.PARLEY_MESSAGE_CACHE_BYTES_MAX,
    cacheConversationsMax: env.PARLEY_MESSAGE_CACHE_CONVERSATIONS_MAX,
    advertisedAddress: env.PARLEY_ADVERTISED_ADDRESS,
    cassandra: readCassandraEnvironment(env),
    workingDirectory: process.cwd(),
  };
}

/** Throws ConfigError, which names the variable. */
export function toMessageConfig(environment: MessageEnvironment): MessageConfig {
  const { dataDirectory, workingDirectory, payloadBytesMax, dedupeWindow } = environment;
  const { cacheBytesMax, cacheConversationsMax } = environment;
  const data = parsePath("PARLEY_DATA_DIRECTORY", dataDirectory, {
    default: "data",
    base: workingDirectory,
  });
  const dedupeWindowMs = parseDuration("PARLEY_MESSAGE_DEDUPE_WINDOW", dedupeWindow, {
    default: 7 * DAY_MS,
    min: 60_000,
    max: 365 * DAY_MS,
  });
  return {
    advertisedAddress: environment.advertisedAddress?.trim() || undefined,
    cassandra: toCassandraConfig(environment.cassandra ?? {}, workingDirectory),
    storeDirectory: join(data, "message"),
    payloadBytesMax: parseBytes("PARLEY_MESSAGE_PAYLOAD_BYTES_MAX", payloadBytesMax, {
      default: 64 * KIB,
      min: KIB,
      max: CONTRACT_PAYLOAD_BYTES_MAX,
    }),
    dedupeWindowMs,
    dedupeKeptMs: dedupeWindowMs + REPLAY_MS_MAX,
    cacheConversationsMax: parseInteger(
      "PARLEY_MESSAGE_CACHE_CONVERSATIONS_MAX",
      cacheConversationsMax,
      { default: 100_000, min: 1 },
    ),
    cacheBytesMax: parseBytes("PARLEY_MESSAGE_CACHE_BYTES_MAX", cacheBytesMax, {
      default: 64 * MIB,
      min: MIB,
    }),
  };
}
