import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigError } from "../../config.ts";
import { readKafkaEnvironment, toKafkaConfig } from "./kafka-config.ts";

const read = (env: Record<string, string>) => toKafkaConfig(readKafkaEnvironment(env), "/srv");

describe("toKafkaConfig", () => {
  it("is nothing without brokers", () => {
    assert.equal(read({ PARLEY_KAFKA_PREFIX: "x." }), undefined);
  });

  it("has a default for all but the brokers", () => {
    assert.deepEqual(read({ PARLEY_KAFKA_BROKERS: "a:9092, b:9092" }), {
      brokers: ["a:9092", "b:9092"],
      prefix: "parley.",
      replicationFactor: 3,
      minInSyncReplicas: 2,
      tlsCaFile: undefined,
      credentials: undefined,
    });
  });

  it("takes what is set", () => {
    const config = read({
      PARLEY_KAFKA_BROKERS: "[::1]:9092",
      PARLEY_KAFKA_PREFIX: "west.",
      PARLEY_KAFKA_REPLICATION: "1",
      PARLEY_KAFKA_TLS_CA_FILE: "ca.pem",
      PARLEY_KAFKA_USERNAME: "parley",
      PARLEY_KAFKA_PASSWORD: "secret",
      PARLEY_KAFKA_SASL_MECHANISM: "plain",
    });
    assert.equal(config?.minInSyncReplicas, 1);
    assert.equal(config?.tlsCaFile, "/srv/ca.pem");
    assert.deepEqual(config?.credentials, {
      mechanism: "plain",
      username: "parley",
      password: "secret",
    });
  });

  it("names the variable that it cannot use, and shows no password", () => {
    const brokers = { PARLEY_KAFKA_BROKERS: "a:9092" };
    const bad: readonly (readonly [string, Record<string, string>])[] = [
      ["PARLEY_KAFKA_BROKERS", { PARLEY_KAFKA_BROKERS: "a" }],
      ["PARLEY_KAFKA_PREFIX", { ...brokers, PARLEY_KAFKA_PREFIX: "a b" }],
      ["PARLEY_KAFKA_REPLICATION", { ...brokers, PARLEY_KAFKA_REPLICATION: "0" }],
      ["PARLEY_KAFKA_IN_SYNC_MIN", { ...brokers, PARLEY_KAFKA_IN_SYNC_MIN: "4" }],
      ["PARLEY_KAFKA_PASSWORD", { ...brokers, PARLEY_KAFKA_USERNAME: "parley" }],
      [
        "PARLEY_KAFKA_SASL_MECHANISM",
        {
          ...brokers,
          PARLEY_KAFKA_USERNAME: "parley",
          PARLEY_KAFKA_PASSWORD: "tell-nobody",
          PARLEY_KAFKA_SASL_MECHANISM: "none",
        },
      ],
    ];
    for (const [name, env] of bad) {
      assert.throws(
        () => read(env),
        (error) => {
          assert.ok(error instanceof ConfigError);
          assert.match(error.message, new RegExp(name));
          assert.doesNotMatch(error.message, /tell-nobody/);
          return true;
        },
      );
    }
  });
});
