/** What the presence service can be told. */
import { join } from "node:path";
import { type Env, parseInteger, parsePath } from "@parley/platform/config";
import {
  type RedisConfig,
  type RedisEnvironment,
  readRedisEnvironment,
  toRedisConfig,
} from "@parley/platform/storage/engine/redis-config";

/** The variables as a process has them. */
export type PresenceEnvironment = {
  /** PARLEY_DATA_DIRECTORY */
  readonly dataDirectory: string | undefined;
  /** PARLEY_PRESENCE_SESSIONS_MAX */
  readonly sessionsMax: string | undefined;
  /** PARLEY_REDIS_… */
  readonly redis?: RedisEnvironment;
  /** What relative paths are relative to. */
  readonly workingDirectory: string;
};

export type PresenceConfig = {
  /** Directory of the last-seen store alone. */
  readonly directory: string;
  /** Sessions that the registry holds at most; those beyond count as offline. */
  readonly sessionsMax: number;
  /** Where sessions, routes and last-seen times are, for all instances; undefined keeps them in this process. */
  readonly redis?: RedisConfig;
};

/** About 0.5 KB each: at the default the registry stays under 100 MB, and one gateway holds far fewer. */
const SESSIONS_MAX_DEFAULT = 200_000;
const SESSIONS_MAX_LIMIT = 5_000_000;
const NO_REDIS = readRedisEnvironment({});

export function readEnvironment(env: Env): PresenceEnvironment {
  return {
    dataDirectory: env.PARLEY_DATA_DIRECTORY,
    sessionsMax: env.PARLEY_PRESENCE_SESSIONS_MAX,
    redis: readRedisEnvironment(env),
    workingDirectory: process.cwd(),
  };
}

/** Throws ConfigError, which names the variable. */
export function toPresenceConfig(environment: PresenceEnvironment): PresenceConfig {
  const data = parsePath("PARLEY_DATA_DIRECTORY", environment.dataDirectory, {
    default: "data",
    base: environment.workingDirectory,
  });
  const { redis: redisEnvironment = NO_REDIS, workingDirectory } = environment;
  const redis = toRedisConfig(redisEnvironment, workingDirectory);
  return {
    directory: join(data, "presence"),
    ...(redis === undefined ? {} : { redis }),
    sessionsMax: parseInteger("PARLEY_PRESENCE_SESSIONS_MAX", environment.sessionsMax, {
      default: SESSIONS_MAX_DEFAULT,
      min: 1,
      max: SESSIONS_MAX_LIMIT,
    }),
  };
}
