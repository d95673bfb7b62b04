import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigError } from "@parley/platform/config";
import { toServices, toSplitConfig } from "./split-config.ts";

const message = {
  PARLEY_SERVICES: "message",
  PARLEY_ADVERTISED_ADDRESS: "message-1:7400",
  PARLEY_SERVICE_TOKEN: "0123456789abcdef",
  PARLEY_PRESENCE_ADDRESSES: "presence:7400",
  PARLEY_FANOUT_ADDRESSES: "fanout-1:7400, fanout-2:7400",
  PARLEY_DIRECTORY_ADDRESSES: "directory:7400",
};

const read = (env: Record<string, string>) => toSplitConfig(env, toServices(env));

describe("the services of a process", () => {
  it("are all of them if nothing is said, and then it is not one of several", () => {
    assert.equal(toServices({}).size, 5);
    assert.equal(read({}), undefined);
  });

  it("are those that are named", () => {
    assert.deepEqual(
      [...toServices({ PARLEY_SERVICES: "gateway, message" })],
      ["gateway", "message"],
    );
  });

  it("reach the others where the settings say", () => {
    assert.deepEqual(read(message), {
      listen: { host: "127.0.0.1", port: 7400 },
      advertisedAddress: "message-1:7400",
      serviceToken: "0123456789abcdef",
      addresses: {
        presence: ["presence:7400"],
        fanout: ["fanout-1:7400", "fanout-2:7400"],
        directory: ["directory:7400"],
      },
    });
  });

  it("may all be in a process that is one of several", () => {
    const split = read({
      PARLEY_INTERNAL_LISTEN: "[::]:7400",
      PARLEY_ADVERTISED_ADDRESS: "[2001:db8::1]:7400",
      PARLEY_SERVICE_TOKEN: "0123456789abcdef",
    });
    assert.deepEqual(split?.listen, { host: "::", port: 7400 });
    assert.deepEqual(split?.addresses, {});
  });

  it("refuse what cannot be used, by its name, and show no secret", () => {
    const bad: readonly (readonly [string, Record<string, string>])[] = [
      ["PARLEY_SERVICES", { ...message, PARLEY_SERVICES: "mesage" }],
      ["PARLEY_INTERNAL_LISTEN", { ...message, PARLEY_INTERNAL_LISTEN: "7400" }],
      ["PARLEY_INTERNAL_LISTEN", { ...message, PARLEY_INTERNAL_LISTEN: "here:70000" }],
      ["PARLEY_ADVERTISED_ADDRESS", { ...message, PARLEY_ADVERTISED_ADDRESS: "" }],
      ["PARLEY_SERVICE_TOKEN", { ...message, PARLEY_SERVICE_TOKEN: "too short" }],
      ["PARLEY_FANOUT_ADDRESSES", { ...message, PARLEY_FANOUT_ADDRESSES: "" }],
      ["PARLEY_FANOUT_ADDRESSES", { ...message, PARLEY_FANOUT_ADDRESSES: "fanout" }],
    ];
    for (const [name, env] of bad) {
      assert.throws(
        () => read(env),
        (error) => {
          assert.ok(error instanceof ConfigError);
          assert.match(error.message, new RegExp(name));
          assert.doesNotMatch(error.message, /too short/);
          return true;
        },
        name,
      );
    }
  });
});
