import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ConfigError } from "@parley/platform/config";
import { readEnvironment, toDirectoryConfig } from "./config.ts";

const workingDirectory = "/srv/parley";

test("an empty environment gives the documented defaults", () => {
  const config = toDirectoryConfig({ workingDirectory });
  assert.equal(config.databasePath, join(workingDirectory, "data/directory/directory.sqlite"));
  assert.equal(config.signUpOpen, true);
  assert.equal(config.issuer, "parley");
  assert.equal(config.signingKeyJson, undefined);
  assert.equal(config.externalIssuer, undefined);
  assert.deepEqual(config.lifetimes, { accessMs: 900_000, refreshMs: 2_592_000_000 });
  assert.equal(config.passwordHashing.memoryKib, 19 * 1024);
  assert.equal(config.passwordHashing.passes, 2);
  assert.equal(config.passwordHashing.parallelism, 1);
  assert.deepEqual(config.conversationLimits, {
    groupMembersMax: 500,
    inviteLifetimeMaxMs: 90 * 86_400_000,
    encryptionModes: [EncryptionMode.SERVER_READABLE],
  });
});

test("values are read, and an external issuer needs all three of its variables", () => {
  const env = {
    workingDirectory,
    PARLEY_DATA_DIRECTORY: "/var/lib/parley",
    PARLEY_DIRECTORY_SIGN_UP: "closed",
    PARLEY_DIRECTORY_ARGON2_MEMORY: "64MiB",
    PARLEY_DIRECTORY_EXTERNAL_ISSUER: "https://id.example",
    PARLEY_DIRECTORY_EXTERNAL_AUDIENCE: "parley",
    PARLEY_DIRECTORY_EXTERNAL_JWKS_URL: "https://id.example/keys",
  };
  const config = toDirectoryConfig(env);
  assert.equal(config.databasePath, "/var/lib/parley/directory/directory.sqlite");
  assert.equal(config.signUpOpen, false);
  assert.equal(config.passwordHashing.memoryKib, 65_536);
  assert.deepEqual(config.externalIssuer, {
    issuer: "https://id.example",
    audience: "parley",
    jwksUrl: "https://id.example/keys",
  });
  for (const name of ["AUDIENCE", "JWKS_URL"]) {
    const variable = `PARLEY_DIRECTORY_EXTERNAL_${name}`;
    assert.throws(
      () => toDirectoryConfig({ ...env, [variable]: "" }),
      (error) => error instanceof ConfigError && error.variable === variable,
    );
  }
});

test("a value that cannot be used is refused with its variable", () => {
  const bad = {
    PARLEY_DIRECTORY_SIGN_UP: "maybe",
    PARLEY_DIRECTORY_ACCESS_TOKEN_LIFETIME: "1s",
    PARLEY_DIRECTORY_REFRESH_TOKEN_LIFETIME: "9999d",
    PARLEY_DIRECTORY_ARGON2_MEMORY: "1KiB",
    PARLEY_DIRECTORY_ARGON2_PASSES: "0",
    PARLEY_DIRECTORY_GROUP_MEMBERS_MAX: "501",
    PARLEY_DIRECTORY_INVITE_LIFETIME_MAX: "91d",
  };
  for (const [variable, value] of Object.entries(bad)) {
    assert.throws(
      () => toDirectoryConfig({ workingDirectory, [variable]: value }),
      (error) => error instanceof ConfigError && error.variable === variable,
      variable,
    );
  }
});

test("readEnvironment takes only what the directory reads", () => {
  const env = readEnvironment({ PARLEY_DIRECTORY_ISSUER: "here", PATH: "/bin", PARLEY_DEMO: "1" });
  assert.deepEqual(
    { ...env, workingDirectory: "" },
    {
      PARLEY_DIRECTORY_ISSUER: "here",
      workingDirectory: "",
    },
  );
});

test("MySQL is used where its URL is set", () => {
  const env = readEnvironment({
    PARLEY_MYSQL_URL: "mysql://parley@db/parley",
    PARLEY_MYSQL_TLS_CA_FILE: "ca.pem",
  });
  const config = toDirectoryConfig({ ...env, workingDirectory });
  assert.equal(config.mysql?.host, "db");
  assert.equal(config.mysql.tlsCaFile, "/srv/parley/ca.pem");
  assert.equal("mysql" in toDirectoryConfig({ workingDirectory }), false);
});

test("signing keys get a successor after a season, or never, and may be distrusted from a time on", () => {
  const parse = (env: Record<string, string> = {}) =>
    toDirectoryConfig({ workingDirectory, ...env });
  assert.equal(parse().signingKeyAgeMs, 90 * 86_400_000);
  assert.equal(parse().signingKeysSinceMs, 0);
  const config = parse({
    PARLEY_DIRECTORY_SIGNING_KEY_DAYS: "0",
    PARLEY_DIRECTORY_SIGNING_KEYS_SINCE: "2026-01-31T12:00:00Z",
  });
  assert.equal(config.signingKeyAgeMs, Number.POSITIVE_INFINITY);
  assert.equal(config.signingKeysSinceMs, Date.UTC(2026, 0, 31, 12));
  for (const since of ["yesterday", "2026-01-31", "2026-01-31T12:00:00", "2026-13-01T00:00:00Z"]) {
    assert.throws(() => parse({ PARLEY_DIRECTORY_SIGNING_KEYS_SINCE: since }), ConfigError);
  }
  assert.throws(() => parse({ PARLEY_DIRECTORY_SIGNING_KEY_DAYS: "-1" }), ConfigError);
});
