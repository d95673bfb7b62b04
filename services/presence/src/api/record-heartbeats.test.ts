import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestService, userOf } from "../testing/test-service.ts";

test("sessions that were not known are named, also after a loss", async () => {
  const [ann, bob] = [userOf(1), userOf(2)];
  await using first = await createTestService();
  assert.deepEqual((await first.heartbeat("west", [ann])).newSessionIds, [`west ${ann}`]);
  assert.deepEqual((await first.heartbeat("west", [ann, bob])).newSessionIds, [`west ${bob}`]);
  await first.stop();
  await using second = await createTestService({ directory: first.directory });
  const { newSessionIds } = await second.heartbeat("west", [ann, bob]);
  assert.deepEqual(newSessionIds, [`west ${ann}`, `west ${bob}`]);
});

test("a full registry takes what fits, and counts the rest", async () => {
  await using parts = await createTestService({ sessionsMax: 1 });
  const { newSessionIds } = await parts.heartbeat("west", [userOf(1), userOf(2)]);
  assert.equal(newSessionIds.length, 1);
  const metrics = await parts.telemetry.metrics.renderMetrics();
  assert.match(metrics, /parley_presence_sessions_refused_total 1/);
});

test("more than 1,000 sessions in one heartbeat are refused", async () => {
  await using parts = await createTestService();
  const many = Array.from({ length: 1001 }, (_, index) => userOf(index));
  await assert.rejects(parts.heartbeat("west", many));
});
