import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestService } from "../testing/test-service.ts";

test("every gateway that holds a session ends it, and repeating does no harm", async () => {
  await using parts = await createTestService();
  const { registry, fanout, gateway } = parts;
  registry.online("west", "ann", "bob");
  registry.online("east", "ann");
  await fanout.revokeSessions({ userId: "ann", deviceIds: ["d1"] });
  await fanout.revokeSessions({ userId: "ann", deviceIds: [] });
  const expected = [
    { userId: "ann", deviceIds: ["d1"] },
    { userId: "ann", deviceIds: [] },
  ];
  assert.deepEqual(gateway("west").ended, expected);
  assert.deepEqual(gateway("east").ended, expected);
});

test("who has no session needs no gateway", async () => {
  await using parts = await createTestService();
  await parts.fanout.revokeSessions({ userId: "ann", deviceIds: [] });
  assert.equal(parts.registry.lookUps, 1);
});

test("a gateway that fails is asked again", async () => {
  await using parts = await createTestService();
  const { registry, fanout, gateway } = parts;
  registry.online("west", "ann");
  gateway("west").mode = "gone";
  const revoked = fanout.revokeSessions({ userId: "ann", deviceIds: ["d1"] });
  while (registry.lookUps === 0) await new Promise((resolve) => setImmediate(resolve));
  gateway("west").mode = "ready";
  await revoked;
  assert.deepEqual(gateway("west").ended, [{ userId: "ann", deviceIds: ["d1"] }]);
});
