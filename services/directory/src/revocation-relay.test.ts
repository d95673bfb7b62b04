import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { createRevocationRelay } from "./revocation-relay.ts";

type Entry = { readonly userId: string; readonly deviceId: string };

/** An outbox in memory, and sessions that end when a test says so. */
function createParts(entries: Entry[]) {
  const calls: { readonly userId: string; readonly deviceIds: readonly string[] }[] = [];
  const parts = {
    entries,
    calls,
    /** What the next calls do; nothing more means success. */
    behaviours: [] as (() => Promise<void>)[],
    /** Called with each read of the outbox. */
    onRead: () => {},
    outbox: {
      async listRevocations(limit: number) {
        parts.onRead();
        return entries.slice(0, limit);
      },
      async deleteRevocations(deviceIds: readonly string[]) {
        const kept = entries.filter((entry) => !deviceIds.includes(entry.deviceId));
        entries.splice(0, entries.length, ...kept);
      },
    },
    async endSessions(userId: string, deviceIds: readonly string[]) {
      calls.push({ userId, deviceIds });
      await parts.behaviours.shift()?.();
    },
  };
  return parts;
}

const fail = () => Promise.reject(new Error("down"));

test("a wait ends when the sessions have ended, all devices of a person in one call", async () => {
  const parts = createParts([
    { userId: "ada", deviceId: "1" },
    { userId: "ada", deviceId: "2" },
    { userId: "bob", deviceId: "3" },
  ]);
  await using relay = createRevocationRelay({
    ...parts,
    telemetry: silentTelemetry(),
    waitMaxMs: 60_000,
    sweepIntervalMs: 60_000,
  });
  relay.start();
  await relay.waitEnded(["1", "2", "3"]);
  assert.deepEqual(parts.calls, [
    { userId: "ada", deviceIds: ["1", "2"] },
    { userId: "bob", deviceIds: ["3"] },
  ]);
  assert.deepEqual(parts.entries, []);
});

test("a call that fails is repeated, and keeps nobody else waiting", async () => {
  const parts = createParts([
    { userId: "ada", deviceId: "1" },
    { userId: "bob", deviceId: "2" },
  ]);
  parts.behaviours = [fail, () => Promise.resolve(), fail];
  await using relay = createRevocationRelay({
    ...parts,
    telemetry: silentTelemetry(),
    waitMaxMs: 60_000,
    sweepIntervalMs: 60_000,
  });
  relay.start();
  await relay.waitEnded(["2"]);
  await relay.waitEnded(["1"]);
  assert.deepEqual(
    parts.calls.map((call) => call.userId),
    ["ada", "bob", "ada", "ada"],
  );
});

test("what is revoked while a person is served is served next", async () => {
  const parts = createParts([{ userId: "ada", deviceId: "1" }]);
  const first = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  parts.behaviours = [
    () => {
      begun.resolve();
      return first.promise;
    },
  ];
  await using relay = createRevocationRelay({
    ...parts,
    telemetry: silentTelemetry(),
    waitMaxMs: 60_000,
    sweepIntervalMs: 60_000,
  });
  relay.start();
  await begun.promise;
  parts.entries.push({ userId: "ada", deviceId: "2" });
  const read = Promise.withResolvers<void>();
  parts.onRead = read.resolve;
  const second = relay.waitEnded(["2"]);
  // The relay sees the new entry while the person is served, and has to come back to it.
  await read.promise;
  await setImmediate();
  first.resolve();
  await second;
  assert.deepEqual(parts.calls.at(-1), { userId: "ada", deviceIds: ["2"] });
});

test("a wait is bounded, and does not reject", async () => {
  const parts = createParts([{ userId: "ada", deviceId: "1" }]);
  const never = Promise.withResolvers<void>();
  parts.behaviours = [() => never.promise];
  await using relay = createRevocationRelay({
    ...parts,
    telemetry: silentTelemetry(),
    waitMaxMs: 10,
  });
  relay.start();
  await relay.waitEnded(["1"]);
  assert.equal(parts.entries.length, 1);
  never.resolve();
});

test("disposing ends waits and leaves the outbox to the next process", async () => {
  const parts = createParts([{ userId: "ada", deviceId: "1" }]);
  const begun = Promise.withResolvers<void>();
  const telemetry = silentTelemetry();
  const endSessions = (_userId: string, _deviceIds: readonly string[], signal: AbortSignal) =>
    new Promise<void>((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      begun.resolve();
    });
  const relay = createRevocationRelay({ ...parts, endSessions, telemetry, waitMaxMs: 60_000 });
  relay.start();
  const wait = relay.waitEnded(["1"]);
  await begun.promise;
  await relay[Symbol.asyncDispose]();
  await wait;
  assert.equal(parts.entries.length, 1);
});
