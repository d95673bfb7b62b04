import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestService } from "../testing/test-service.ts";

test("all sessions of the people get it, each person once per gateway", async () => {
  await using parts = await createTestService();
  const { registry, fanout, gateway } = parts;
  registry.online("west", "ann");
  registry.online("east", "ann", "bob");
  const event = new Uint8Array([7]);
  await fanout.dispatchToUsers({ userIds: ["ann", "bob", "ann", "cid"], event });
  await Promise.all([gateway("west").received(1), gateway("east").received(1)]);
  assert.deepEqual(gateway("west").deliveries[0]?.userIds, ["ann"]);
  assert.deepEqual(gateway("east").deliveries[0]?.userIds.toSorted(), ["ann", "bob"]);
  assert.deepEqual(gateway("west").deliveries[0]?.events[0]?.event, event);
});

test("nobody and more than 500 people are refused", async () => {
  await using parts = await createTestService();
  const many = Array.from({ length: 501 }, (_, index) => `u${index}`);
  const event = new Uint8Array([7]);
  await assert.rejects(parts.fanout.dispatchToUsers({ userIds: [], event }));
  await assert.rejects(parts.fanout.dispatchToUsers({ userIds: many, event }));
});
