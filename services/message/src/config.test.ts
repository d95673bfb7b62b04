import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigError } from "@parley/platform/config";
import { readEnvironment, toMessageConfig } from "./config.ts";

describe("toMessageConfig", () => {
  it("has an answer for everything", () => {
    const config = toMessageConfig({ workingDirectory: "/srv" });
    assert.equal(config.storeDirectory, "/srv/data/message");
    assert.equal(config.payloadBytesMax, 65_536);
    assert.equal(config.dedupeWindowMs, 7 * 86_400_000);
    assert.ok(config.dedupeKeptMs >= config.dedupeWindowMs + 7 * 86_400_000);
  });

  it("takes what is set", () => {
    const config = toMessageConfig(
      readEnvironment({
        PARLEY_DATA_DIRECTORY: "/var/parley",
        PARLEY_MESSAGE_PAYLOAD_BYTES_MAX: "256KiB",
        PARLEY_MESSAGE_DEDUPE_WINDOW: "2d",
        PARLEY_MESSAGE_CACHE_BYTES_MAX: "1GiB",
        PARLEY_MESSAGE_CACHE_CONVERSATIONS_MAX: "5",
        PARLEY_ADVERTISED_ADDRESS: "message-1:8446",
      }),
    );
    assert.deepEqual(config, {
      advertisedAddress: "message-1:8446",
      cassandra: undefined,
      storeDirectory: "/var/parley/message",
      payloadBytesMax: 262_144,
      dedupeWindowMs: 2 * 86_400_000,
      dedupeKeptMs: 16 * 86_400_000,
      cacheBytesMax: 1024 ** 3,
      cacheConversationsMax: 5,
    });
  });

  it("names the variable that it cannot use", () => {
    const bad: readonly [string, string][] = [
      ["PARLEY_MESSAGE_PAYLOAD_BYTES_MAX", "257KiB"],
      ["PARLEY_MESSAGE_PAYLOAD_BYTES_MAX", "10"],
      ["PARLEY_MESSAGE_DEDUPE_WINDOW", "soon"],
      ["PARLEY_MESSAGE_CACHE_BYTES_MAX", "-1"],
      ["PARLEY_MESSAGE_CACHE_CONVERSATIONS_MAX", "0"],
    ];
    for (const [variable, value] of bad) {
      assert.throws(
        () => toMessageConfig(readEnvironment({ [variable]: value })),
        (error) => error instanceof ConfigError && error.variable === variable,
        variable,
      );
    }
  });
});
