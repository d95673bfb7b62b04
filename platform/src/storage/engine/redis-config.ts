/** Where Redis is, and how it is talked to. */
import {
  ConfigError,
  type Env,
  parseBoolean,
  parseList,
  parsePath,
  parseText,
} from "../../config.ts";

/** The variables as a process has them. */
export type RedisEnvironment = {
  /** PARLEY_REDIS_URLS */
  readonly urls: string | undefined;
  /** PARLEY_REDIS_CLUSTER */
  readonly cluster: string | undefined;
  /** PARLEY_REDIS_PASSWORD */
  readonly password: string | undefined;
  /** PARLEY_REDIS_TLS_CA_FILE */
  readonly tlsCaFile: string | undefined;
  /** PARLEY_REDIS_PREFIX */
  readonly prefix: string | undefined;
};

export type RedisAddress = { readonly host: string; readonly port: number };

export type RedisConfig = {
  /** The server; of a cluster some of its nodes, the others are learned from them. */
  readonly addresses: readonly RedisAddress[];
  readonly cluster: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Whether the connections are encrypted. */
  readonly tls: boolean;
  /** Absolute path of PEM certificates that the server's must come from; undefined for the public ones. */
  readonly tlsCaFile: string | undefined;
  /** Stands before every key and channel, so that installations can share a server. */
  readonly prefix: string;
};

const URLS = "PARLEY_REDIS_URLS";
const PREFIX_DEFAULT = "parley:";
const PORT_DEFAULT = 6379;
/** Nodes to learn a cluster from; one that answers is enough. */
const URLS_MAX = 100;
const URL_EXPECTED =
  "redis://host:port or rediss://host:port (with TLS), in a cluster some of them separated by commas";

export function readRedisEnvironment(env: Env): RedisEnvironment {
  return {
    urls: env.PARLEY_REDIS_URLS,
    cluster: env.PARLEY_REDIS_CLUSTER,
    password: env.PARLEY_REDIS_PASSWORD,
    tlsCaFile: env.PARLEY_REDIS_TLS_CA_FILE,
    prefix: env.PARLEY_REDIS_PREFIX,
  };
}

/**
 * Undefined when PARLEY_REDIS_URLS is not set: there is no Redis then. Reads no file. Throws ConfigError,
 * which names the variable and never shows a password.
 */
export function toRedisConfig(
  environment: RedisEnvironment,
  workingDirectory: string,
): RedisConfig | undefined {
  const texts = parseList(URLS, environment.urls, { default: [], max: URLS_MAX });
  if (texts.length === 0) return undefined;
  const urls = texts.map(parseUrl);
  const cluster = parseBoolean("PARLEY_REDIS_CLUSTER", environment.cluster, { default: false });
  if (!cluster && urls.length > 1) throw refused("one URL, as PARLEY_REDIS_CLUSTER is not set");
  const [first] = urls;
  if (urls.some(({ protocol }) => protocol !== first?.protocol)) {
    throw refused("all redis:// or all rediss://");
  }
  const caFile = environment.tlsCaFile?.trim() ?? "";
  const password = environment.password ?? "";
  const named = urls.find((url) => url.username !== "" || url.password !== "");
  return {
    addresses: urls.map(({ hostname, port }) => ({
      host: hostname.replace(/^\[(.*)\]$/, "$1"),
      port: port === "" ? PORT_DEFAULT : Number(port),
    })),
    cluster,
    username: orUndefined(decodeURIComponent(named?.username ?? "")),
    password: orUndefined(password) ?? orUndefined(decodeURIComponent(named?.password ?? "")),
    tls: caFile !== "" || first?.protocol === "rediss:",
    tlsCaFile:
      caFile === ""
        ? undefined
        : parsePath("PARLEY_REDIS_TLS_CA_FILE", caFile, { base: workingDirectory }),
    prefix: parsePrefix(environment.prefix),
  };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const usable =
    url !== undefined &&
    /^rediss?:$/.test(url.protocol) &&
    url.hostname !== "" &&
    url.port !== "0" &&
    /^\/?$/.test(url.pathname) &&
    url.search === "" &&
    url.hash === "";
  if (!usable) throw refused(URL_EXPECTED);
  return url;
}

/** Braces would become the hash tag of every key, and all keys of a cluster one slot's. */
function parsePrefix(value: string | undefined): string {
  const name = "PARLEY_REDIS_PREFIX";
  const expected = "at most 64 letters, digits, dots, colons, dashes and underscores";
  const prefix = parseText(name, value, { default: PREFIX_DEFAULT, expected });
  if (!/^[A-Za-z0-9.:_-]{1,64}$/.test(prefix)) throw new ConfigError(name, value, expected);
  return prefix;
}

/** A URL may hold a password. */
function refused(expected: string): ConfigError {
  return new ConfigError(URLS, "set", expected, { secret: true });
}

function orUndefined(text: string): string | undefined {
  return text === "" ? undefined : text;
}
