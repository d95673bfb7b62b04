import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigError } from "../../config.ts";
import {
  type CassandraEnvironment,
  readCassandraEnvironment,
  toCassandraConfig,
} from "./cassandra-config.ts";

const DIRECTORY = "/srv";

const least: CassandraEnvironment = {
  contactPoints: "10.0.0.1",
  datacenter: "dc1",
};

describe("the configuration of Cassandra", () => {
  it("needs contact points and a datacenter, and has defaults for the rest", () => {
    assert.deepEqual(toCassandraConfig(least, DIRECTORY), {
      contactPoints: ["10.0.0.1:9042"],
      datacenter: "dc1",
      keyspace: "parley",
      replication: { dc1: 3 },
      credentials: undefined,
      tlsCaFile: undefined,
    });
  });

  it("is none without contact points", () => {
    assert.equal(toCassandraConfig({ ...least, contactPoints: " " }, DIRECTORY), undefined);
  });

  it("takes everything from the environment", () => {
    const environment = readCassandraEnvironment({
      PARLEY_CASSANDRA_CONTACT_POINTS: "node-1:19042, [fd00::1]:9043",
      PARLEY_CASSANDRA_DATACENTER: "eu",
      PARLEY_CASSANDRA_KEYSPACE: "chat_1",
      PARLEY_CASSANDRA_REPLICATION: "eu:3,us:2",
      PARLEY_CASSANDRA_USERNAME: "parley",
      PARLEY_CASSANDRA_PASSWORD: "secret words",
      PARLEY_CASSANDRA_TLS_CA_FILE: "/etc/ca.pem",
    });
    assert.deepEqual(toCassandraConfig(environment, DIRECTORY), {
      contactPoints: ["node-1:19042", "[fd00::1]:9043"],
      datacenter: "eu",
      keyspace: "chat_1",
      replication: { eu: 3, us: 2 },
      credentials: { username: "parley", password: "secret words" },
      tlsCaFile: "/etc/ca.pem",
    });
    const relative = toCassandraConfig({ ...least, tlsCaFile: "ca.pem" }, DIRECTORY);
    assert.equal(relative?.tlsCaFile, "/srv/ca.pem");
  });

  for (const [variable, changed] of [
    ["PARLEY_CASSANDRA_CONTACT_POINTS", { contactPoints: "one:two" }],
    ["PARLEY_CASSANDRA_CONTACT_POINTS", { contactPoints: "node:70000" }],
    ["PARLEY_CASSANDRA_DATACENTER", { datacenter: "" }],
    ["PARLEY_CASSANDRA_DATACENTER", { datacenter: "dc'1" }],
    ["PARLEY_CASSANDRA_KEYSPACE", { keyspace: "Parley" }],
    ["PARLEY_CASSANDRA_KEYSPACE", { keyspace: "a-b" }],
    ["PARLEY_CASSANDRA_REPLICATION", { replication: "3" }],
    ["PARLEY_CASSANDRA_REPLICATION", { replication: "dc1:0" }],
    ["PARLEY_CASSANDRA_REPLICATION", { replication: "dc2:3" }],
    ["PARLEY_CASSANDRA_PASSWORD", { username: "parley" }],
  ] as const) {
    it(`refuses ${JSON.stringify(changed)} and names ${variable}`, () => {
      assert.throws(
        () => toCassandraConfig({ ...least, ...changed }, DIRECTORY),
        (error) => error instanceof ConfigError && error.variable === variable,
      );
    });
  }
});
