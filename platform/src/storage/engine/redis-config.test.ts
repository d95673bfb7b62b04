import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../../config.ts";
import { readRedisEnvironment, toRedisConfig } from "./redis-config.ts";

const configOf = (env: Readonly<Record<string, string>>) =>
  toRedisConfig(readRedisEnvironment(env), "/srv/parley");

test("without a URL there is no Redis", () => {
  assert.equal(configOf({}), undefined);
  assert.equal(configOf({ PARLEY_REDIS_URLS: " ", PARLEY_REDIS_PASSWORD: "x" }), undefined);
});

test("a server", () => {
  assert.deepEqual(configOf({ PARLEY_REDIS_URLS: "redis://one" }), {
    addresses: [{ host: "one", port: 6379 }],
    cluster: false,
    username: undefined,
    password: undefined,
    tls: false,
    tlsCaFile: undefined,
    prefix: "parley:",
  });
});

test("a cluster with everything", () => {
  const config = configOf({
    PARLEY_REDIS_URLS: "rediss://ann:from%20url@one:7000, rediss://[::1]:7001",
    PARLEY_REDIS_CLUSTER: "true",
    PARLEY_REDIS_PASSWORD: "pass word",
    PARLEY_REDIS_TLS_CA_FILE: "ca.pem",
    PARLEY_REDIS_PREFIX: "chat.1:",
  });
  assert.deepEqual(config, {
    addresses: [
      { host: "one", port: 7000 },
      { host: "::1", port: 7001 },
    ],
    cluster: true,
    username: "ann",
    password: "pass word",
    tls: true,
    tlsCaFile: "/srv/parley/ca.pem",
    prefix: "chat.1:",
  });
});

test("a password in the URL is taken when there is no other", () => {
  const config = configOf({ PARLEY_REDIS_URLS: "redis://:secret%21@one" });
  assert.equal(config?.password, "secret!");
});

test("what cannot be used is refused by the variable's name, and no password is shown", () => {
  const refused: [variable: string, env: Readonly<Record<string, string>>][] = [
    ["PARLEY_REDIS_URLS", { PARLEY_REDIS_URLS: "one:6379" }],
    ["PARLEY_REDIS_URLS", { PARLEY_REDIS_URLS: "http://:secret@one" }],
    ["PARLEY_REDIS_URLS", { PARLEY_REDIS_URLS: "redis://:secret@one:0" }],
    ["PARLEY_REDIS_URLS", { PARLEY_REDIS_URLS: "redis://:secret@one/3" }],
    ["PARLEY_REDIS_URLS", { PARLEY_REDIS_URLS: "redis://:secret@one,redis://two" }],
    [
      "PARLEY_REDIS_URLS",
      { PARLEY_REDIS_URLS: "redis://one,rediss://two", PARLEY_REDIS_CLUSTER: "1" },
    ],
    ["PARLEY_REDIS_CLUSTER", { PARLEY_REDIS_URLS: "redis://one", PARLEY_REDIS_CLUSTER: "maybe" }],
    ["PARLEY_REDIS_PREFIX", { PARLEY_REDIS_URLS: "redis://one", PARLEY_REDIS_PREFIX: "{a}" }],
  ];
  for (const [variable, env] of refused) {
    assert.throws(
      () => configOf(env),
      (error) =>
        error instanceof ConfigError &&
        error.variable === variable &&
        !error.message.includes("secret@"),
      JSON.stringify(env),
    );
  }
});
