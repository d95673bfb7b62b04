import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestService, userOf } from "../testing/test-service.ts";

test("named sessions go, then all of the gateway; repeating does no harm", async () => {
  await using parts = await createTestService();
  const { registry } = parts;
  const userIds = [1, 2, 3].map(userOf);
  await parts.heartbeat("west", userIds);
  const online = async () => {
    const { gateways } = await registry.lookUpSessions({ userIds });
    return gateways[0]?.userIds ?? [];
  };
  const sessionIds = [`west ${userOf(1)}`, "unknown"];
  await registry.removeSessions({ gatewayId: "west", sessionIds });
  await registry.removeSessions({ gatewayId: "west", sessionIds });
  assert.deepEqual(await online(), userIds.slice(1));
  await registry.removeSessions({ gatewayId: "east" });
  assert.deepEqual(await online(), userIds.slice(1));
  await registry.removeSessions({ gatewayId: "west" });
  await registry.removeSessions({ gatewayId: "west" });
  assert.deepEqual(await online(), []);
});
