/** What the operator sets of the gateway, and what applies otherwise. */
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  ConfigError,
  type Env,
  parseBoolean,
  parseBytes,
  parseDuration,
  parseEnum,
  parseInteger,
  parseList,
  parseNumber,
  parsePath,
  parseText,
} from "@parley/platform/config";
import { createAddresses, ProxyAddressError } from "./inbound/addresses.ts";
import type { ConnectionLimits } from "./inbound/connections.ts";
import type { ServerInfo } from "./inbound/get-server-info.ts";
import type { RateLimitConfig } from "./inbound/rate-limits.ts";

/** The variables as a process has them; what each means is beside its value in `GatewayConfig`. */
export type GatewayEnvironment = Env & { readonly workingDirectory: string };

export type GatewayConfig = {
  /** Where to listen; every address of the machine if `*`. */
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** PEM files; without them the port speaks plain text, for a proxy in front that ends TLS. */
  readonly tls: { readonly certificateFile: string; readonly keyFile: string } | undefined;
  /** Other pages that may use this server, as `https://chat.example.org`. */
  readonly allowedOrigins: readonly string[];
  /** Proxies whose `x-forwarded-for` is believed: addresses or networks. */
  readonly trustedProxies: readonly string[];
  /** What the operator's calls carry as bearer token; none if undefined. */
  readonly operatorToken: string | undefined;
  /** `host:port` at which other parts reach this gateway's `DeliveryService`; empty in one process. */
  readonly deliveryAddress: string;
  readonly connections: ConnectionLimits;
  /** Sessions that are held at most. */
  readonly sessionsMax: number;
  /** Bytes that may wait for one session, those that the kernel has not taken included. */
  readonly sessionQueueBytesMax: number;
  readonly rates: RateLimitConfig;
  readonly serverInfo: ServerInfo;
};

const KIB = 1024;
const DAY_MS = 24 * 60 * 60 * 1000;
const VERSION = "0.1.0";
/** Visible ASCII, which a header can carry, but no dot. */
const OPERATOR_TOKEN = /^[!-\-/-~]{16,}$/;

/** Variables of other parts that clients are told about by `GetServerInfo`. */
const SHARED = [
  "PARLEY_ADVERTISED_ADDRESS",
  "PARLEY_DEMO",
  "PARLEY_DIRECTORY_SIGN_UP",
  "PARLEY_DIRECTORY_EXTERNAL_ISSUER",
  "PARLEY_DIRECTORY_GROUP_MEMBERS_MAX",
  "PARLEY_DIRECTORY_INVITE_LIFETIME_MAX",
  "PARLEY_MESSAGE_PAYLOAD_BYTES_MAX",
];

/** Takes the variables that the gateway reads out of the process's. */
export function readEnvironment(env: Env): GatewayEnvironment {
  const names = Object.keys(env).filter(
    (name) => name.startsWith("PARLEY_GATEWAY_") || SHARED.includes(name),
  );
  const own = Object.fromEntries(names.map((name) => [name, env[name]]));
  return { ...own, workingDirectory: process.cwd() };
}

/** Throws a `ConfigError` that names the variable. */
export function toGatewayConfig(env: GatewayEnvironment): GatewayConfig {
  return {
    // This machine alone, until the operator has decided who else may come.
    host: parseText("PARLEY_GATEWAY_HOST", env.PARLEY_GATEWAY_HOST, { default: "127.0.0.1" }),
    port: parseInteger("PARLEY_GATEWAY_PORT", env.PARLEY_GATEWAY_PORT, {
      default: 8080,
      min: 0,
      max: 65_535,
    }),
    tls: toTls(env),
    allowedOrigins: parseList(
      "PARLEY_GATEWAY_ALLOWED_ORIGINS",
      env.PARLEY_GATEWAY_ALLOWED_ORIGINS,
      {
        default: [],
      },
    ),
    trustedProxies: toTrustedProxies(env),
    operatorToken: toOperatorToken(env),
    deliveryAddress: parseText("PARLEY_ADVERTISED_ADDRESS", env.PARLEY_ADVERTISED_ADDRESS, {
      default: "",
    }),
    ...toLimits(env),
    rates: toRates(env),
    serverInfo: toServerInfo(env),
  };
}

function toTrustedProxies(env: GatewayEnvironment): readonly string[] {
  const name = "PARLEY_GATEWAY_TRUSTED_PROXIES";
  const proxies = parseList(name, env[name], { default: [] });
  try {
    createAddresses(proxies);
    return proxies;
  } catch (error) {
    if (!(error instanceof ProxyAddressError)) throw error;
    const expected = `IP addresses or networks such as 10.0.0.0/8, separated by commas: ${error.message}`;
    throw new ConfigError(name, env[name], expected);
  }
}

function toTls(env: GatewayEnvironment): GatewayConfig["tls"] {
  const { PARLEY_GATEWAY_TLS_CERTIFICATE: certificate, PARLEY_GATEWAY_TLS_KEY: key } = env;
  if ((certificate ?? "").trim() === "" && (key ?? "").trim() === "") return undefined;
  const base = env.workingDirectory;
  return {
    certificateFile: parsePath("PARLEY_GATEWAY_TLS_CERTIFICATE", certificate, { base }),
    keyFile: parsePath("PARLEY_GATEWAY_TLS_KEY", key, { base }),
  };
}

function toOperatorToken(env: GatewayEnvironment): string | undefined {
  const name = "PARLEY_GATEWAY_OPERATOR_TOKEN";
  const token = env[name] ?? "";
  if (token === "") return undefined;
  // At least so long, or it can be guessed; without white space, which no bearer token holds; without a dot,
  // which is how an access token is told from it.
  if (!OPERATOR_TOKEN.test(token)) {
    const expected =
      "at least 16 letters, digits and signs, without white space or a dot (make one with `openssl rand -hex 32`)";
    throw new ConfigError(name, token, expected, { secret: true });
  }
  return token;
}

function toLimits(
  env: GatewayEnvironment,
): Pick<GatewayConfig, "connections" | "sessionsMax" | "sessionQueueBytesMax"> {
  const count = (name: string, fallback: number) => toCount(env, name, fallback);
  return {
    connections: {
      connectionsMax: count("PARLEY_GATEWAY_CONNECTIONS_MAX", 50_000),
      connectionsPerAddressMax: connectionsPerAddressOf(env),
    },
    sessionsMax: count("PARLEY_GATEWAY_SESSIONS_MAX", 50_000),
    sessionQueueBytesMax: parseBytes(
      "PARLEY_GATEWAY_SESSION_QUEUE_MAX",
      env.PARLEY_GATEWAY_SESSION_QUEUE_MAX,
      // Some seconds of a busy group; at least one entry of the largest payload fits with room to spare.
      { default: 1024 * KIB, min: 768 * KIB, max: 64 * 1024 * KIB },
    ),
  };
}

function toCount(env: GatewayEnvironment, name: string, fallback: number): number {
  return parseInteger(name, env[name], { default: fallback, min: 1, max: 10_000_000 });
}

/** An office or a village behind one address, and not a flood from one machine. */
function connectionsPerAddressOf(env: GatewayEnvironment): number {
  return toCount(env, "PARLEY_GATEWAY_CONNECTIONS_PER_ADDRESS", 500);
}

function toRates(env: GatewayEnvironment): RateLimitConfig {
  const rate = (name: string, fallback: number) =>
    parseNumber(name, env[name], { default: fallback, min: 0.01, max: 10_000_000 });
  return {
    sendsPerSecond: rate("PARLEY_GATEWAY_SENDS_PER_SECOND", 20),
    callsPerSecond: rate("PARLEY_GATEWAY_CALLS_PER_SECOND", 50),
    opensPerMinute: rate("PARLEY_GATEWAY_OPENS_PER_MINUTE", 60),
    // All that an address may hold come back within half a minute after a restart.
    addressOpensPerMinute: connectionsPerAddressOf(env) * 2,
    failuresPerMinute: rate("PARLEY_GATEWAY_FAILURES_PER_MINUTE", 60),
    signUpsPerMinute: rate("PARLEY_GATEWAY_SIGN_UPS_PER_MINUTE", 20),
    signInsPerMinute: rate("PARLEY_GATEWAY_SIGN_INS_PER_MINUTE", 60),
  };
}

/** The same variables and defaults as in the parts that enforce them. */
function toServerInfo(env: GatewayEnvironment): ServerInfo {
  const signUp = parseEnum("PARLEY_DIRECTORY_SIGN_UP", env.PARLEY_DIRECTORY_SIGN_UP, {
    values: ["open", "closed"],
    default: "open",
  });
  return {
    serverName: parseText("PARLEY_GATEWAY_SERVER_NAME", env.PARLEY_GATEWAY_SERVER_NAME, {
      default: "Parley",
    }),
    version: VERSION,
    // The one mode that is built.
    encryptionModes: [EncryptionMode.SERVER_READABLE],
    signUpOpen: signUp === "open",
    externalIssuer: env.PARLEY_DIRECTORY_EXTERNAL_ISSUER?.trim() ?? "",
    payloadBytesMax: parseBytes(
      "PARLEY_MESSAGE_PAYLOAD_BYTES_MAX",
      env.PARLEY_MESSAGE_PAYLOAD_BYTES_MAX,
      { default: 64 * KIB, min: 1, max: 256 * KIB },
    ),
    groupMembersMax: parseInteger(
      "PARLEY_DIRECTORY_GROUP_MEMBERS_MAX",
      env.PARLEY_DIRECTORY_GROUP_MEMBERS_MAX,
      { default: 500, min: 2, max: 500 },
    ),
    titleCharactersMax: 100,
    inviteLifetimeMaxMs: parseDuration(
      "PARLEY_DIRECTORY_INVITE_LIFETIME_MAX",
      env.PARLEY_DIRECTORY_INVITE_LIFETIME_MAX,
      { default: 90 * DAY_MS, min: 60_000, max: 90 * DAY_MS },
    ),
    demo: parseBoolean("PARLEY_DEMO", env.PARLEY_DEMO, { default: false }),
  };
}
