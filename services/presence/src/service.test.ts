import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestService, userOf } from "./testing/test-service.ts";

test("figures are shown", async () => {
  await using parts = await createTestService();
  await parts.heartbeat("west", [userOf(1), userOf(2)]);
  await parts.heartbeat("east", [userOf(2)]);
  const metrics = await parts.telemetry.metrics.renderMetrics();
  for (const line of [
    "parley_presence_sessions 3",
    "parley_presence_users_online 2",
    "parley_presence_gateways 2",
    "parley_presence_users_watched 0",
  ]) {
    assert.ok(metrics.includes(`${line}\n`), line);
  }
});

test("10,000 sessions cost no timer each, and all go when their gateway is lost", async () => {
  await using parts = await createTestService({ sessionsMax: 10_000 });
  const timers = parts.clock.timerCount;
  for (let start = 0; start < 10_000; start += 1000) {
    const people = Array.from({ length: 1000 }, (_, index) => userOf(start + index));
    await parts.heartbeat("west", people);
  }
  assert.equal(parts.clock.timerCount, timers);
  parts.clock.advance(31_000);
  const metrics = await parts.telemetry.metrics.renderMetrics();
  assert.match(metrics, /parley_presence_sessions 0\n/);
});

test("after disposal nothing ticks any more", async () => {
  const parts = await createTestService();
  await using _parts = parts;
  await parts.heartbeat("west", [userOf(1)]);
  await parts.stop();
  await parts.stop();
  assert.equal(parts.clock.timerCount, 0);
});
