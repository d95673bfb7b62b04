/** What the fan-out service can be told. */
import { join } from "node:path";
import { type Env, parseInteger, parsePath } from "@parley/platform/config";
import {
  type CassandraConfig,
  type CassandraEnvironment,
  readCassandraEnvironment,
  toCassandraConfig,
} from "@parley/platform/storage/engine/cassandra-config";

/** The variables as a process has them. */
export type FanoutEnvironment = {
  /** PARLEY_DATA_DIRECTORY */
  readonly dataDirectory: string | undefined;
  /** PARLEY_FANOUT_MEMBERSHIPS_CACHED_MAX */
  readonly membershipsCachedMax: string | undefined;
  /** PARLEY_CASSANDRA_… */
  readonly cassandra?: CassandraEnvironment;
  /** What relative paths are relative to. */
  readonly workingDirectory: string;
};

export type FanoutConfig = {
  /** Where inboxes are, for all instances; undefined keeps them in `directory`. */
  readonly cassandra?: CassandraConfig | undefined;
  /** Directory of the inbox store alone. */
  readonly directory: string;
  /** Memberships of conversations that are held in memory; about 100 bytes each. */
  readonly membershipsCachedMax: number;
};

/** About 50 MB when it is full: the members of 5,000 groups of 100. */
const MEMBERSHIPS_CACHED_DEFAULT = 500_000;
/** A group of the largest size must fit. */
const MEMBERSHIPS_CACHED_MIN = 1000;

export function readEnvironment(env: Env): FanoutEnvironment {
  return {
    dataDirectory: env.PARLEY_DATA_DIRECTORY,
    membershipsCachedMax: env.PARLEY_FANOUT_MEMBERSHIPS_CACHED_MAX,
    cassandra: readCassandraEnvironment(env),
    workingDirectory: process.cwd(),
  };
}

/** Throws ConfigError, which names the variable. */
export function toFanoutConfig(environment: FanoutEnvironment): FanoutConfig {
  const data = parsePath("PARLEY_DATA_DIRECTORY", environment.dataDirectory, {
    default: "data",
    base: environment.workingDirectory,
  });
  const name = "PARLEY_FANOUT_MEMBERSHIPS_CACHED_MAX";
  return {
    cassandra: toCassandraConfig(environment.cassandra ?? {}, environment.workingDirectory),
    directory: join(data, "fanout"),
    membershipsCachedMax: parseInteger(name, environment.membershipsCachedMax, {
      default: MEMBERSHIPS_CACHED_DEFAULT,
      min: MEMBERSHIPS_CACHED_MIN,
    }),
  };
}
