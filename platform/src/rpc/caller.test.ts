import assert from "node:assert/strict";
import { test } from "node:test";
import { createContextValues } from "@connectrpc/connect";
import { reasonOf } from "../errors.ts";
import { callerKey, requireDevice } from "./caller.ts";
import { forkContextValues } from "./context-values.ts";

test("a device is required, and given", () => {
  const device = { kind: "device", userId: "u", deviceId: "d", expireTimeMs: 1 } as const;
  const values = createContextValues().set(callerKey, device);
  assert.equal(requireDevice({ values }), device);
  const internal = createContextValues().set(callerKey, { kind: "internal", service: "s" });
  for (const others of [createContextValues(), internal]) {
    assert.throws(
      () => requireDevice({ values: others }),
      (error) => reasonOf(error) === "DEVICE_REQUIRED",
    );
  }
});

test("forked values read through, and keep what is set to themselves", () => {
  const parent = createContextValues().set(callerKey, { kind: "operator" });
  const fork = forkContextValues(parent);
  assert.equal(fork.get(callerKey).kind, "operator");
  fork.set(callerKey, { kind: "internal", service: "s" });
  assert.equal(fork.get(callerKey).kind, "internal");
  assert.equal(parent.get(callerKey).kind, "operator");
  fork.delete(callerKey);
  assert.equal(fork.get(callerKey).kind, "public");
  assert.equal(forkContextValues().get(callerKey).kind, "public");
});
