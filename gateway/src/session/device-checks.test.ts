import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { CheckDevicesResponseSchema } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { createDeviceChecks } from "./device-checks.ts";

function start() {
  const questions: string[][] = [];
  const revoked = new Set<string>();
  const directory = {
    checkDevices: ({ deviceIds = [] }: { deviceIds?: readonly string[] }) => {
      questions.push([...deviceIds]);
      const revokedDeviceIds = deviceIds.filter((id) => revoked.has(id));
      return Promise.resolve(create(CheckDevicesResponseSchema, { revokedDeviceIds }));
    },
  };
  const clock = createManualClock();
  return { questions, revoked, clock, checks: createDeviceChecks({ directory, clock }) };
}

describe("device checks", () => {
  it("put the questions of one turn into one call", async () => {
    const { questions, revoked, checks } = start();
    revoked.add("b");
    const answers = await Promise.all(["a", "b", "a", "c"].map((id) => checks.isRevoked(id)));
    assert.deepEqual(answers, [false, true, false, false]);
    assert.deepEqual(questions, [["a", "b", "c"]]);
  });

  it("ask again after a second", async () => {
    const { questions, revoked, clock, checks } = start();
    assert.equal(await checks.isRevoked("a"), false);
    revoked.add("a");
    clock.advance(999);
    assert.equal(await checks.isRevoked("a"), false);
    clock.advance(1);
    assert.equal(await checks.isRevoked("a"), true);
    assert.equal(questions.length, 2);
  });

  it("ask anew where only a present answer will do, and remember that one", async () => {
    const { questions, revoked, checks } = start();
    assert.equal(await checks.isRevoked("a"), false);
    revoked.add("a");
    assert.equal(await checks.isRevokedNow("a"), true);
    assert.equal(await checks.isRevoked("a"), true);
    assert.equal(questions.length, 2);
  });

  it("do not keep an answer that was on its way when something was signed out", async () => {
    const { questions, revoked, checks } = start();
    const asked = checks.isRevoked("a");
    await new Promise((next) => setImmediate(next));
    checks.forget();
    revoked.add("a");
    await asked;
    assert.equal(await checks.isRevoked("a"), true);
    assert.equal(questions.length, 2);
  });

  it("ask about many devices in as many calls as the contract wants", async () => {
    const { questions, revoked, checks } = start();
    const ids = Array.from({ length: 2500 }, (_, index) => `d${index}`);
    revoked.add("d2400");
    assert.deepEqual(await checks.revokedAmong(ids), ["d2400"]);
    assert.deepEqual(
      questions.map(({ length }) => length),
      [1000, 1000, 500],
    );
  });
});
