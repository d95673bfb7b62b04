import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "@parley/platform/config";
import { readEnvironment, toFanoutConfig } from "./config.ts";

const workingDirectory = "/srv/parley";
const nothing = { dataDirectory: undefined, membershipsCachedMax: undefined, workingDirectory };

test("defaults", () => {
  assert.deepEqual(toFanoutConfig(nothing), {
    cassandra: undefined,
    directory: "/srv/parley/data/fanout",
    membershipsCachedMax: 500_000,
  });
});

test("variables are read by their names", () => {
  const environment = readEnvironment({
    PARLEY_DATA_DIRECTORY: "/var/parley",
    PARLEY_FANOUT_MEMBERSHIPS_CACHED_MAX: "2000",
  });
  assert.deepEqual(toFanoutConfig(environment), {
    cassandra: undefined,
    directory: "/var/parley/fanout",
    membershipsCachedMax: 2000,
  });
});

test("a value that cannot be used is refused by the variable's name", () => {
  for (const membershipsCachedMax of ["many", "1", "-5"]) {
    assert.throws(
      () => toFanoutConfig({ ...nothing, membershipsCachedMax }),
      (error) =>
        error instanceof ConfigError && error.variable === "PARLEY_FANOUT_MEMBERSHIPS_CACHED_MAX",
    );
  }
});
