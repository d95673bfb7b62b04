/** Where MySQL or MariaDB is, and how it is talked to. */
import { ConfigError, type Env, parseInteger, parsePath } from "../../config.ts";

/** The variables as a process has them. */
export type MysqlEnvironment = {
  /** PARLEY_MYSQL_URL */
  readonly url: string | undefined;
  /** PARLEY_MYSQL_PASSWORD */
  readonly password: string | undefined;
  /** PARLEY_MYSQL_TLS_CA_FILE */
  readonly tlsCaFile: string | undefined;
  /** PARLEY_MYSQL_CONNECTIONS_MAX */
  readonly connectionsMax: string | undefined;
};

export type MysqlConfig = {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string | undefined;
  /** The name of the database that holds the tables. */
  readonly database: string;
  /**
   * Absolute path of PEM certificates. Connections then use TLS, and the server's certificate comes from one of
   * these and names the host. Undefined without TLS.
   */
  readonly tlsCaFile: string | undefined;
  /** Connections of one process at most. */
  readonly connectionsMax: number;
};

const URL_NAME = "PARLEY_MYSQL_URL";
const PORT_DEFAULT = 3306;
/** A server admits 151 by default: enough for several processes, and each transaction is a few ms. */
const CONNECTIONS_DEFAULT = 20;
const CONNECTIONS_LIMIT = 1000;
/** What needs no quotes anywhere; 64 is MySQL's limit. */
const DATABASE_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;
const URL_EXPECTED =
  "mysql://user@host:port/database, the database's name of at most 64 letters, digits, dashes and underscores";

export function readMysqlEnvironment(env: Env): MysqlEnvironment {
  return {
    url: env.PARLEY_MYSQL_URL,
    password: env.PARLEY_MYSQL_PASSWORD,
    tlsCaFile: env.PARLEY_MYSQL_TLS_CA_FILE,
    connectionsMax: env.PARLEY_MYSQL_CONNECTIONS_MAX,
  };
}

/**
 * Undefined when PARLEY_MYSQL_URL is not set: there is no MySQL then. Reads no file. Throws ConfigError, which
 * names the variable and never shows a password.
 */
export function toMysqlConfig(
  environment: MysqlEnvironment,
  workingDirectory: string,
): MysqlConfig | undefined {
  const text = environment.url?.trim() ?? "";
  if (text === "") return undefined;
  const url = parseUrl(text);
  const caFile = environment.tlsCaFile?.trim() ?? "";
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? PORT_DEFAULT : Number(url.port),
    username: decode(url.username),
    password: orUndefined(environment.password ?? "") ?? orUndefined(decode(url.password)),
    database: url.pathname.slice(1),
    tlsCaFile:
      caFile === ""
        ? undefined
        : parsePath("PARLEY_MYSQL_TLS_CA_FILE", caFile, { base: workingDirectory }),
    connectionsMax: parseInteger("PARLEY_MYSQL_CONNECTIONS_MAX", environment.connectionsMax, {
      default: CONNECTIONS_DEFAULT,
      min: 2,
      max: CONNECTIONS_LIMIT,
    }),
  };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const usable =
    url !== undefined &&
    url.protocol === "mysql:" &&
    url.hostname !== "" &&
    url.username !== "" &&
    url.port !== "0" &&
    DATABASE_PATTERN.test(url.pathname.slice(1)) &&
    url.search === "" &&
    url.hash === "";
  if (!usable) throw refused();
  return url;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refused();
  }
}

/** A URL may hold a password. */
function refused(): ConfigError {
  return new ConfigError(URL_NAME, "set", URL_EXPECTED, { secret: true });
}

function orUndefined(text: string): string | undefined {
  return text === "" ? undefined : text;
}
