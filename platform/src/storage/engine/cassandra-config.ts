/** Where Cassandra or ScyllaDB is, and what is ours there. */
import {
  ConfigError,
  type Env,
  parseInteger,
  parseList,
  parsePath,
  parseText,
} from "../../config.ts";

export type CassandraEnvironment = {
  /** PARLEY_CASSANDRA_CONTACT_POINTS */
  readonly contactPoints?: string | undefined;
  /** PARLEY_CASSANDRA_DATACENTER */
  readonly datacenter?: string | undefined;
  /** PARLEY_CASSANDRA_KEYSPACE */
  readonly keyspace?: string | undefined;
  /** PARLEY_CASSANDRA_REPLICATION */
  readonly replication?: string | undefined;
  /** PARLEY_CASSANDRA_USERNAME */
  readonly username?: string | undefined;
  /** PARLEY_CASSANDRA_PASSWORD */
  readonly password?: string | undefined;
  /** PARLEY_CASSANDRA_TLS_CA_FILE */
  readonly tlsCaFile?: string | undefined;
};

export type CassandraConfig = {
  /** `host:port` of some nodes; the others are learned from them. */
  readonly contactPoints: readonly string[];
  /** The nodes' datacenter whose quorum every read and write needs. */
  readonly datacenter: string;
  readonly keyspace: string;
  /** Copies of everything, by datacenter. Used when the keyspace is created. */
  readonly replication: Readonly<Record<string, number>>;
  readonly credentials?: { readonly username: string; readonly password: string } | undefined;
  /** Connections use TLS, and the nodes' certificates are signed by an authority of this file. */
  readonly tlsCaFile?: string | undefined;
};

const DEFAULT_PORT = 9042;
/** A client asks the first few that answer; more than this is a list of the whole cluster. */
const CONTACT_POINTS_MAX = 32;
/** Three survive the loss of one node without losing or refusing anything. */
const DEFAULT_COPIES = 3;
const COPIES_MAX = 9; // A quorum of more is slower and no safer.

const KEYSPACE_PATTERN = /^[a-z][a-z0-9_]{0,47}$/;
const DATACENTER_PATTERN = /^[A-Za-z0-9_.-]{1,64}$/;

export function readCassandraEnvironment(env: Env): CassandraEnvironment {
  return {
    contactPoints: env.PARLEY_CASSANDRA_CONTACT_POINTS,
    datacenter: env.PARLEY_CASSANDRA_DATACENTER,
    keyspace: env.PARLEY_CASSANDRA_KEYSPACE,
    replication: env.PARLEY_CASSANDRA_REPLICATION,
    username: env.PARLEY_CASSANDRA_USERNAME,
    password: env.PARLEY_CASSANDRA_PASSWORD,
    tlsCaFile: env.PARLEY_CASSANDRA_TLS_CA_FILE,
  };
}

/**
 * Undefined when PARLEY_CASSANDRA_CONTACT_POINTS is not set: there is no Cassandra then. Reads no file. Throws
 * ConfigError, which names the variable and never shows a password.
 */
export function toCassandraConfig(
  environment: CassandraEnvironment,
  workingDirectory: string,
): CassandraConfig | undefined {
  const contactPoints = toContactPoints(environment.contactPoints);
  if (contactPoints.length === 0) return undefined;
  const datacenter = toDatacenter(environment.datacenter);
  const caFile = environment.tlsCaFile?.trim() ?? "";
  return {
    contactPoints,
    datacenter,
    keyspace: toKeyspace(environment.keyspace),
    replication: toReplication(environment.replication, datacenter),
    credentials: toCredentials(environment),
    tlsCaFile:
      caFile === "" ? undefined : parsePath(TLS_CA_FILE, caFile, { base: workingDirectory }),
  };
}

const CONTACT_POINTS = "PARLEY_CASSANDRA_CONTACT_POINTS";
const DATACENTER = "PARLEY_CASSANDRA_DATACENTER";
const KEYSPACE = "PARLEY_CASSANDRA_KEYSPACE";
const REPLICATION = "PARLEY_CASSANDRA_REPLICATION";
const PASSWORD = "PARLEY_CASSANDRA_PASSWORD";
const TLS_CA_FILE = "PARLEY_CASSANDRA_TLS_CA_FILE";

function toContactPoints(value: string | undefined): readonly string[] {
  const expected = "nodes such as 10.0.0.1:9042, separated by commas";
  const points = parseList(CONTACT_POINTS, value, { default: [], max: CONTACT_POINTS_MAX });
  return points.map((point) => {
    const [, host, port] = /^([^\s:]+|\[[0-9a-fA-F:]+\])(?::(\d+))?$/.exec(point) ?? [];
    if (host === undefined) throw new ConfigError(CONTACT_POINTS, value, expected);
    const number = parseInteger(CONTACT_POINTS, port, {
      default: DEFAULT_PORT,
      min: 1,
      max: 65535,
    });
    return `${host}:${number}`;
  });
}

function toDatacenter(value: string | undefined): string {
  const expected = "the datacenter of the nodes, as `nodetool status` names it";
  const datacenter = parseText(DATACENTER, value, { expected });
  if (!DATACENTER_PATTERN.test(datacenter)) throw new ConfigError(DATACENTER, value, expected);
  return datacenter;
}

function toKeyspace(value: string | undefined): string {
  const keyspace = parseText(KEYSPACE, value, { default: "parley" });
  if (KEYSPACE_PATTERN.test(keyspace)) return keyspace;
  const expected = "up to 48 lower-case letters, digits and underscores, a letter first";
  throw new ConfigError(KEYSPACE, value, expected);
}

function toReplication(
  value: string | undefined,
  datacenter: string,
): Readonly<Record<string, number>> {
  const expected = `copies by datacenter, such as ${datacenter}:3, with ${datacenter} among them`;
  const words = parseList(REPLICATION, value, { default: [`${datacenter}:${DEFAULT_COPIES}`] });
  const replication: Record<string, number> = {};
  for (const word of words) {
    const [, name, copies] = /^([^:]+):(\d+)$/.exec(word) ?? [];
    if (name === undefined || !DATACENTER_PATTERN.test(name)) {
      throw new ConfigError(REPLICATION, value, expected);
    }
    replication[name] = parseInteger(REPLICATION, copies, { min: 1, max: COPIES_MAX });
  }
  // Quorums are those of this datacenter: without a copy in it nothing could be read or written.
  if (replication[datacenter] === undefined) throw new ConfigError(REPLICATION, value, expected);
  return replication;
}

function toCredentials({
  username,
  password,
}: CassandraEnvironment): CassandraConfig["credentials"] {
  if (username === undefined || username.trim() === "") return undefined;
  if (password === undefined || password === "") {
    const expected = "the password that belongs to PARLEY_CASSANDRA_USERNAME";
    throw new ConfigError(PASSWORD, password, expected, { secret: true });
  }
  return { username: username.trim(), password };
}
