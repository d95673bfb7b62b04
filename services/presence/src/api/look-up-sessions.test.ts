import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestService, userOf } from "../testing/test-service.ts";

test("people are found under their gateways, with the gateways' addresses", async () => {
  await using parts = await createTestService();
  const [ann, bob, cid] = [userOf(1), userOf(2), userOf(3)];
  await parts.heartbeat("west", [ann, bob]);
  await parts.heartbeat("east", [bob]);
  const { gateways } = await parts.registry.lookUpSessions({ userIds: [ann, bob, cid] });
  assert.deepEqual(
    gateways.map(({ gatewayId, gatewayAddress, userIds }) => [gatewayId, gatewayAddress, userIds]),
    [
      ["west", "west:1", [ann, bob]],
      ["east", "east:1", [bob]],
    ],
  );
});

test("nobody and more than 1,000 people are refused", async () => {
  await using parts = await createTestService();
  const many = Array.from({ length: 1001 }, (_, index) => userOf(index));
  await assert.rejects(parts.registry.lookUpSessions({ userIds: [] }));
  await assert.rejects(parts.registry.lookUpSessions({ userIds: many }));
});
