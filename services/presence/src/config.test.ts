import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "@parley/platform/config";
import { readEnvironment, toPresenceConfig } from "./config.ts";

const workingDirectory = "/srv/parley";
const nothing = { dataDirectory: undefined, sessionsMax: undefined, workingDirectory };

test("defaults", () => {
  assert.deepEqual(toPresenceConfig(nothing), {
    directory: "/srv/parley/data/presence",
    sessionsMax: 200_000,
  });
});

test("variables are read by their names", () => {
  const environment = readEnvironment({
    PARLEY_DATA_DIRECTORY: "/var/parley",
    PARLEY_PRESENCE_SESSIONS_MAX: "10",
  });
  assert.deepEqual(toPresenceConfig(environment), {
    directory: "/var/parley/presence",
    sessionsMax: 10,
  });
});

test("a value that cannot be used is refused by the variable's name", () => {
  for (const sessionsMax of ["many", "0", "1e9"]) {
    assert.throws(
      () => toPresenceConfig({ ...nothing, sessionsMax }),
      (error) => error instanceof ConfigError && error.variable === "PARLEY_PRESENCE_SESSIONS_MAX",
    );
  }
});

test("with a Redis, everything is there", () => {
  const environment = readEnvironment({
    PARLEY_REDIS_URLS: "redis://one:7000",
    PARLEY_REDIS_PREFIX: "chat:",
  });
  const { redis } = toPresenceConfig(environment);
  assert.deepEqual([redis?.addresses, redis?.prefix], [[{ host: "one", port: 7000 }], "chat:"]);
});
