import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createMemorySpanSink } from "@parley/platform/telemetry/span-sink";
import { InboxIdentityError } from "./log-identity.ts";
import { createTestConversation } from "./testing/test-entries.ts";
import { createTestService } from "./testing/test-service.ts";

test("a sampled entry leaves a span per step, and the gateway gets the last as its parent", async () => {
  const sink = createMemorySpanSink();
  await using parts = await createTestService({ sink, online: { west: ["ann"] } });
  const group = createTestConversation();
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const sampled = { ...group.created(["ann"]), traceParent: `00-${traceId}-b7ad6b7169203331-01` };
  await parts.append(group.batch(sampled, group.message("ann")));
  await parts.drainLog();
  const spans = sink.finished(traceId).filter(({ name }) => name.startsWith("fanout."));
  assert.deepEqual(
    spans.map(({ name }) => name),
    ["fanout.inbox", "fanout.lookup", "fanout.deliver"],
  );
  assert.ok(spans.every(({ parentSpanId }) => parentSpanId === "b7ad6b7169203331"));
  const [first, second] = parts.gateway("west").deliveries[0]?.events ?? [];
  assert.equal(first?.traceParent, `00-${traceId}-${spans.at(-1)?.spanId}-01`);
  assert.equal(second?.traceParent, "");
});

test("what happens is counted", async () => {
  await using parts = await createTestService({ online: { west: ["ann", "bob"] } });
  const group = createTestConversation();
  parts.gateway("west").absent.add("bob");
  await parts.append(group.batch(group.created(["ann", "bob", "cid"]), group.message("ann")));
  await parts.drainLog();
  const metrics = await parts.telemetry.metrics.renderMetrics();
  for (const line of [
    "parley_fanout_deliveries_total 4",
    'parley_fanout_absent_total{cause="no_session"} 1',
    'parley_fanout_absent_total{cause="left_gateway"} 1',
    "parley_fanout_queue_deliveries 0",
    "parley_fanout_gateways 1",
    "parley_fanout_unfinished_batches 0",
    "parley_fanout_dispatch_seconds_count 1",
  ]) {
    assert.ok(metrics.includes(`${line}\n`), `${line} in\n${metrics}`);
  }
});

test("inboxes of another log are refused", async () => {
  const first = await createTestService();
  await first.stop();
  await rm(join(first.directory, "log"), { recursive: true });
  await assert.rejects(createTestService({ directory: first.directory }), InboxIdentityError);
  await rm(first.directory, { recursive: true, force: true });
});

test("draining finishes what is at work, and takes nothing new", async () => {
  await using parts = await createTestService({ online: { west: ["ann"] } });
  const group = createTestConversation();
  await parts.append(group.batch(group.created(["ann"])));
  await parts.drainLog();
  await parts.service.drain();
  await parts.append(group.batch(group.message("ann")));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(parts.gateway("west").seqsOf("ann"), [1]);
});

test("disposing twice is disposing once", async () => {
  const parts = await createTestService();
  await using _parts = parts;
  await parts.service[Symbol.asyncDispose]();
  await parts.service[Symbol.asyncDispose]();
});
