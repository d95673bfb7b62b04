/** Where Kafka is, and what is ours there. */
import {
  ConfigError,
  type Env,
  parseEnum,
  parseInteger,
  parseList,
  parsePath,
  parseText,
} from "../../config.ts";

/** The variables as a process has them. */
export type KafkaEnvironment = {
  /** PARLEY_KAFKA_BROKERS */
  readonly brokers: string | undefined;
  /** PARLEY_KAFKA_PREFIX */
  readonly prefix: string | undefined;
  /** PARLEY_KAFKA_REPLICATION */
  readonly replication: string | undefined;
  /** PARLEY_KAFKA_IN_SYNC_MIN */
  readonly inSyncMin: string | undefined;
  /** PARLEY_KAFKA_TLS_CA_FILE */
  readonly tlsCaFile: string | undefined;
  /** PARLEY_KAFKA_USERNAME */
  readonly username: string | undefined;
  /** PARLEY_KAFKA_PASSWORD */
  readonly password: string | undefined;
  /** PARLEY_KAFKA_SASL_MECHANISM */
  readonly saslMechanism: string | undefined;
};

export type KafkaConfig = {
  /** `host:port` of some brokers; the others are learned from them. */
  readonly brokers: readonly string[];
  /** Stands before every topic and group, so that installations can share brokers. */
  readonly prefix: string;
  /** Copies of each record. Used when topics are created. */
  readonly replicationFactor: number;
  /** Copies that must have a record before it is acknowledged. Used when topics are created. */
  readonly minInSyncReplicas: number;
  /** Connections use TLS, and the brokers' certificates are signed by an authority of this file. */
  readonly tlsCaFile: string | undefined;
  readonly credentials:
    | {
        readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
        readonly username: string;
        readonly password: string;
      }
    | undefined;
};

const BROKERS = "PARLEY_KAFKA_BROKERS";
const BROKERS_MAX = 32; // Those that answer name the others.
const PREFIX_PATTERN = /^[A-Za-z0-9._-]{0,64}$/;
/** Three survive the loss of one broker without losing or refusing anything. */
const COPIES_DEFAULT = 3;
const COPIES_MAX = 9; // More are slower and no safer.

export function readKafkaEnvironment(env: Env): KafkaEnvironment {
  return {
    brokers: env.PARLEY_KAFKA_BROKERS,
    prefix: env.PARLEY_KAFKA_PREFIX,
    replication: env.PARLEY_KAFKA_REPLICATION,
    inSyncMin: env.PARLEY_KAFKA_IN_SYNC_MIN,
    tlsCaFile: env.PARLEY_KAFKA_TLS_CA_FILE,
    username: env.PARLEY_KAFKA_USERNAME,
    password: env.PARLEY_KAFKA_PASSWORD,
    saslMechanism: env.PARLEY_KAFKA_SASL_MECHANISM,
  };
}

/**
 * Undefined when PARLEY_KAFKA_BROKERS is not set: the log is the embedded one then. Reads no file. Throws
 * ConfigError, which names the variable and never shows a password.
 */
export function toKafkaConfig(
  environment: KafkaEnvironment,
  workingDirectory: string,
): KafkaConfig | undefined {
  const brokers = parseList(BROKERS, environment.brokers, { default: [], max: BROKERS_MAX });
  if (brokers.length === 0) return undefined;
  for (const broker of brokers) {
    if (/^([^\s:]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/.test(broker)) continue;
    throw new ConfigError(
      BROKERS,
      environment.brokers,
      "host:port of brokers, separated by commas",
    );
  }
  const replicationFactor = parseInteger("PARLEY_KAFKA_REPLICATION", environment.replication, {
    default: COPIES_DEFAULT,
    min: 1,
    max: COPIES_MAX,
  });
  const caFile = environment.tlsCaFile?.trim() ?? "";
  return {
    brokers,
    prefix: toPrefix(environment.prefix),
    replicationFactor,
    minInSyncReplicas: parseInteger("PARLEY_KAFKA_IN_SYNC_MIN", environment.inSyncMin, {
      default: Math.max(1, replicationFactor - 1),
      min: 1,
      max: replicationFactor,
    }),
    tlsCaFile:
      caFile === ""
        ? undefined
        : parsePath("PARLEY_KAFKA_TLS_CA_FILE", caFile, { base: workingDirectory }),
    credentials: toCredentials(environment),
  };
}

function toPrefix(value: string | undefined): string {
  const prefix = parseText("PARLEY_KAFKA_PREFIX", value, { default: "parley." });
  if (PREFIX_PATTERN.test(prefix)) return prefix;
  throw new ConfigError("PARLEY_KAFKA_PREFIX", value, "up to 64 letters, digits, dots and dashes");
}

function toCredentials(environment: KafkaEnvironment): KafkaConfig["credentials"] {
  const username = environment.username?.trim() ?? "";
  if (username === "") return undefined;
  const password = environment.password ?? "";
  if (password === "") {
    throw new ConfigError("PARLEY_KAFKA_PASSWORD", undefined, "the password of the user");
  }
  const mechanism = parseEnum("PARLEY_KAFKA_SASL_MECHANISM", environment.saslMechanism, {
    values: ["plain", "scram-sha-256", "scram-sha-512"],
    default: "scram-sha-512",
  });
  return { mechanism, username, password };
}
