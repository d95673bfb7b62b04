/** What the operator sets of the directory, and what applies otherwise. */
import { join } from "node:path";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  ConfigError,
  type Env,
  parseBytes,
  parseDuration,
  parseEnum,
  parseInteger,
  parsePath,
  parseText,
} from "@parley/platform/config";
import {
  type MysqlConfig,
  readMysqlEnvironment,
  toMysqlConfig,
} from "@parley/platform/storage/engine/mysql-config";
import type { ConversationLimitsConfig } from "./api/conversation-handler.ts";
import type { TokenLifetimes } from "./api/device-tokens.ts";
import type { PasswordHasherOptions } from "./password-hasher.ts";

/** The variables as a process has them; what each means is beside its value in `DirectoryConfig`. */
export type DirectoryEnvironment = Env & { readonly workingDirectory: string };

export type DirectoryConfig = {
  /** The SQLite file, where there is no MySQL. */
  readonly databasePath: string;
  /** Where accounts and conversations are, for all instances; undefined keeps them in the SQLite file. */
  readonly mysql?: MysqlConfig;
  /** Whether anybody may make an account. */
  readonly signUpOpen: boolean;
  /** The `iss` claim of access tokens. */
  readonly issuer: string;
  /** A private JWK (Ed25519) that signs access tokens instead of the one in the database. */
  readonly signingKeyJson: string | undefined;
  /** The age at which a stored signing key gets a successor, in ms; `Infinity` for never. */
  readonly signingKeyAgeMs: number;
  /** Stored signing keys made before this (ms since the Unix epoch) are not believed. */
  readonly signingKeysSinceMs: number;
  readonly lifetimes: TokenLifetimes;
  readonly passwordHashing: PasswordHasherOptions;
  /** Attempts to sign up, sign in or change the password, per username. */
  readonly attempts: { readonly burst: number; readonly perMinute: number };
  /** Whose tokens `SignInWithExternalToken` takes. */
  readonly externalIssuer:
    | { readonly issuer: string; readonly audience: string; readonly jwksUrl: string }
    | undefined;
  readonly conversationLimits: ConversationLimitsConfig;
};

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const KIB = 1024;

const UTC_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z$/;

/** Takes the variables that the directory reads out of the process's. */
export function readEnvironment(env: Env): DirectoryEnvironment {
  const names = Object.keys(env).filter(
    (name) => name === "PARLEY_DATA_DIRECTORY" || /^PARLEY_(DIRECTORY|MYSQL)_/.test(name),
  );
  const own = Object.fromEntries(names.map((name) => [name, env[name]]));
  return { ...own, workingDirectory: process.cwd() };
}

/** Throws a `ConfigError` that names the variable. */
export function toDirectoryConfig(env: DirectoryEnvironment): DirectoryConfig {
  const data = parsePath("PARLEY_DATA_DIRECTORY", env.PARLEY_DATA_DIRECTORY, {
    default: "data",
    base: env.workingDirectory,
  });
  const signUp = parseEnum("PARLEY_DIRECTORY_SIGN_UP", env.PARLEY_DIRECTORY_SIGN_UP, {
    values: ["open", "closed"],
    default: "open",
  });
  const signingKeyJson = env.PARLEY_DIRECTORY_SIGNING_KEY?.trim();
  const mysql = toMysqlConfig(readMysqlEnvironment(env), env.workingDirectory);
  return {
    databasePath: join(data, "directory", "directory.sqlite"),
    ...(mysql === undefined ? {} : { mysql }),
    signUpOpen: signUp === "open",
    issuer: parseText("PARLEY_DIRECTORY_ISSUER", env.PARLEY_DIRECTORY_ISSUER, {
      default: "parley",
    }),
    signingKeyJson: signingKeyJson === "" ? undefined : signingKeyJson,
    ...toSigningKeyTimes(env),
    lifetimes: toLifetimes(env),
    passwordHashing: toPasswordHashing(env),
    attempts: toAttempts(env),
    externalIssuer: toExternalIssuer(env),
    conversationLimits: toConversationLimits(env),
  };
}

function toSigningKeyTimes(
  env: DirectoryEnvironment,
): Pick<DirectoryConfig, "signingKeyAgeMs" | "signingKeysSinceMs"> {
  const days = parseInteger(
    "PARLEY_DIRECTORY_SIGNING_KEY_DAYS",
    env.PARLEY_DIRECTORY_SIGNING_KEY_DAYS,
    // A season: nobody is signed out by it, and what leaks unnoticed is worth nothing after that.
    { default: 90, min: 0, max: 3650 },
  );
  const name = "PARLEY_DIRECTORY_SIGNING_KEYS_SINCE";
  const since = env[name]?.trim() ?? "";
  const sinceMs = since === "" ? 0 : Date.parse(since);
  if (!(sinceMs >= 0) || (since !== "" && !UTC_TIME.test(since))) {
    throw new ConfigError(name, since, "a time in UTC such as 2026-01-31T12:00:00Z");
  }
  return {
    signingKeyAgeMs: days === 0 ? Number.POSITIVE_INFINITY : days * DAY_MS,
    signingKeysSinceMs: sinceMs,
  };
}

function toLifetimes(env: DirectoryEnvironment): TokenLifetimes {
  return {
    accessMs: parseDuration(
      "PARLEY_DIRECTORY_ACCESS_TOKEN_LIFETIME",
      env.PARLEY_DIRECTORY_ACCESS_TOKEN_LIFETIME,
      // At least what clients and clocks need; at most what a lost token may be worth.
      { default: 15 * MINUTE_MS, min: MINUTE_MS, max: DAY_MS },
    ),
    refreshMs: parseDuration(
      "PARLEY_DIRECTORY_REFRESH_TOKEN_LIFETIME",
      env.PARLEY_DIRECTORY_REFRESH_TOKEN_LIFETIME,
      { default: 30 * DAY_MS, min: 10 * MINUTE_MS, max: 400 * DAY_MS },
    ),
  };
}

/** The defaults are OWASP's first choice for argon2id: 19 MiB, two passes, one lane. */
function toPasswordHashing(env: DirectoryEnvironment): PasswordHasherOptions {
  const memoryBytes = parseBytes(
    "PARLEY_DIRECTORY_ARGON2_MEMORY",
    env.PARLEY_DIRECTORY_ARGON2_MEMORY,
    { default: 19 * KIB * KIB, min: 64 * KIB, max: 1024 * KIB * KIB },
  );
  return {
    memoryKib: Math.floor(memoryBytes / KIB),
    passes: parseInteger("PARLEY_DIRECTORY_ARGON2_PASSES", env.PARLEY_DIRECTORY_ARGON2_PASSES, {
      default: 2,
      min: 1,
      max: 100,
    }),
    parallelism: parseInteger(
      "PARLEY_DIRECTORY_ARGON2_PARALLELISM",
      env.PARLEY_DIRECTORY_ARGON2_PARALLELISM,
      { default: 1, min: 1, max: 8 },
    ),
    // Half of Node's four pool threads, so that files and names are still read while people sign in.
    concurrencyMax: parseInteger("PARLEY_DIRECTORY_HASHES_MAX", env.PARLEY_DIRECTORY_HASHES_MAX, {
      default: 2,
      min: 1,
      max: 64,
    }),
    // At 25 ms each and two at once, the last one waits about three seconds.
    waitingMax: parseInteger(
      "PARLEY_DIRECTORY_HASHES_WAITING_MAX",
      env.PARLEY_DIRECTORY_HASHES_WAITING_MAX,
      { default: 256, min: 1, max: 100_000 },
    ),
  };
}

/** Enough for somebody who mistypes, and hopeless for somebody who guesses. */
function toAttempts(env: DirectoryEnvironment): DirectoryConfig["attempts"] {
  return {
    burst: parseInteger("PARLEY_DIRECTORY_ATTEMPTS_BURST", env.PARLEY_DIRECTORY_ATTEMPTS_BURST, {
      default: 20,
      min: 1,
      max: 1_000_000,
    }),
    perMinute: parseInteger(
      "PARLEY_DIRECTORY_ATTEMPTS_PER_MINUTE",
      env.PARLEY_DIRECTORY_ATTEMPTS_PER_MINUTE,
      { default: 10, min: 1, max: 1_000_000 },
    ),
  };
}

function toExternalIssuer(env: DirectoryEnvironment): DirectoryConfig["externalIssuer"] {
  const issuer = env.PARLEY_DIRECTORY_EXTERNAL_ISSUER?.trim() ?? "";
  if (issuer === "") return undefined;
  const audience = parseText(
    "PARLEY_DIRECTORY_EXTERNAL_AUDIENCE",
    env.PARLEY_DIRECTORY_EXTERNAL_AUDIENCE,
    { expected: "the `aud` claim of the external issuer's tokens" },
  );
  const jwksUrl = parseText(
    "PARLEY_DIRECTORY_EXTERNAL_JWKS_URL",
    env.PARLEY_DIRECTORY_EXTERNAL_JWKS_URL,
    { expected: "the URL of the external issuer's keys" },
  );
  const protocol = URL.parse(jwksUrl)?.protocol;
  if (protocol !== "https:" && protocol !== "http:") {
    throw new ConfigError(
      "PARLEY_DIRECTORY_EXTERNAL_JWKS_URL",
      jwksUrl,
      "a URL with https or http",
    );
  }
  return { issuer, audience, jwksUrl };
}

function toConversationLimits(env: DirectoryEnvironment): ConversationLimitsConfig {
  return {
    groupMembersMax: parseInteger(
      "PARLEY_DIRECTORY_GROUP_MEMBERS_MAX",
      env.PARLEY_DIRECTORY_GROUP_MEMBERS_MAX,
      { default: 500, min: 2, max: 500 },
    ),
    inviteLifetimeMaxMs: parseDuration(
      "PARLEY_DIRECTORY_INVITE_LIFETIME_MAX",
      env.PARLEY_DIRECTORY_INVITE_LIFETIME_MAX,
      { default: 90 * DAY_MS, min: MINUTE_MS, max: 90 * DAY_MS },
    ),
    // The one mode that is built; the first one is the default of new conversations.
    encryptionModes: [EncryptionMode.SERVER_READABLE],
  };
}
