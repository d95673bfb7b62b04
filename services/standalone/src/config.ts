/** What the standalone server can be told: its own settings, and those of the parts it is made of. */
import { join } from "node:path";
import {
  type DirectoryConfig,
  readEnvironment as readDirectory,
  toDirectoryConfig,
} from "@parley/directory/config";
import {
  type FanoutConfig,
  readEnvironment as readFanout,
  toFanoutConfig,
} from "@parley/fanout/config";
import {
  type GatewayConfig,
  readEnvironment as readGateway,
  toGatewayConfig,
} from "@parley/gateway/config";
import {
  type MessageConfig,
  readEnvironment as readMessage,
  toMessageConfig,
} from "@parley/message/config";
import {
  ConfigError,
  type Env,
  parseBoolean,
  parseDuration,
  parseEnum,
  parseInteger,
  parseNumber,
  parsePath,
} from "@parley/platform/config";
import {
  type KafkaConfig,
  readKafkaEnvironment,
  toKafkaConfig,
} from "@parley/platform/log/engine/kafka-config";
import type { LogLevel } from "@parley/platform/telemetry/logger";
import {
  type PresenceConfig,
  readEnvironment as readPresence,
  toPresenceConfig,
} from "@parley/presence/config";
import { type ServiceName, type SplitConfig, toServices, toSplitConfig } from "./split-config.ts";

export type StandaloneConfig = {
  /** What this process runs. */
  readonly services: ReadonlySet<ServiceName>;
  /** How this process and the others reach each other; undefined where there are no others. */
  readonly split: SplitConfig | undefined;
  /** Where the log is, for all processes; undefined keeps it in `logDirectory`. */
  readonly kafka: KafkaConfig | undefined;
  /** Everything that is kept is below here. */
  readonly dataDirectory: string;
  /** Directory of the log alone. */
  readonly logDirectory: string;
  /** Partitions of the log; fixed when it is created. */
  readonly partitionCount: number;
  /** The least that is logged. */
  readonly logLevel: LogLevel;
  readonly logFormat: "json" | "line";
  /** Whether logs show names and search texts. */
  readonly logShowPersonal: boolean;
  /** Where spans go (OTLP over HTTP); undefined keeps none. */
  readonly tracesEndpoint: string | undefined;
  /** The share of calls that are traced, 0 to 1. */
  readonly tracesSampleRatio: number;
  /** How long a stop may take to finish what was taken on, in ms. */
  readonly drainMs: number;
  /** Creates demo accounts, and says so to clients. */
  readonly demo: boolean;
  readonly directory: DirectoryConfig;
  readonly message: MessageConfig;
  readonly fanout: FanoutConfig;
  readonly presence: PresenceConfig;
  readonly gateway: GatewayConfig;
};

/** One consumer loop each; more spread better over instances, and cost an idle process nothing. */
const PARTITIONS_DEFAULT = 16;
const PARTITIONS_MAX = 1024; // 10 bits of a message id

/** Reads every part's variables. Throws ConfigError, which names the variable. */
export function toStandaloneConfig(env: Env): StandaloneConfig {
  const dataDirectory = parsePath("PARLEY_DATA_DIRECTORY", env.PARLEY_DATA_DIRECTORY, {
    default: "data",
    base: process.cwd(),
  });
  const services = toServices(env);
  const kafka = toKafkaConfig(readKafkaEnvironment(env), process.cwd());
  return {
    services,
    split: toSplitConfig(env, services),
    kafka,
    dataDirectory,
    logDirectory: join(dataDirectory, "log"),
    partitionCount: parseInteger("PARLEY_LOG_PARTITIONS", env.PARLEY_LOG_PARTITIONS, {
      default: PARTITIONS_DEFAULT,
      min: 1,
      max: PARTITIONS_MAX,
    }),
    logLevel: parseEnum("PARLEY_LOG_LEVEL", env.PARLEY_LOG_LEVEL, {
      values: ["debug", "info", "warn", "error", "silent"] as const,
      default: "info",
    }),
    logFormat: parseEnum("PARLEY_LOG_FORMAT", env.PARLEY_LOG_FORMAT, {
      values: ["json", "line"] as const,
      default: process.stdout.isTTY ? "line" : "json",
    }),
    logShowPersonal: parseBoolean("PARLEY_LOG_SHOW_PERSONAL", env.PARLEY_LOG_SHOW_PERSONAL, {
      default: false,
    }),
    tracesEndpoint: parseEndpoint(env.PARLEY_TRACES_ENDPOINT),
    tracesSampleRatio: parseNumber("PARLEY_TRACES_SAMPLE_RATIO", env.PARLEY_TRACES_SAMPLE_RATIO, {
      default: 0.01,
      min: 0,
      max: 1,
    }),
    drainMs: parseDuration("PARLEY_DRAIN_TIMEOUT", env.PARLEY_DRAIN_TIMEOUT, {
      default: 10_000,
      min: 0,
      max: 600_000,
    }),
    demo: parseBoolean("PARLEY_DEMO", env.PARLEY_DEMO, { default: false }),
    directory: toDirectoryConfig(readDirectory(env)),
    message: toMessageConfig(readMessage(env)),
    fanout: toFanoutConfig(readFanout(env)),
    presence: toPresenceConfig(readPresence(env)),
    gateway: toGatewayConfig(readGateway(env)),
  };
}

function parseEndpoint(value: string | undefined): string | undefined {
  const endpoint = value?.trim();
  if (!endpoint) return undefined;
  const protocol = URL.parse(endpoint)?.protocol;
  if (protocol === "http:" || protocol === "https:") return endpoint;
  const expected = "an http or https URL such as http://localhost:4318";
  throw new ConfigError("PARLEY_TRACES_ENDPOINT", value, expected);
}
