import assert from "node:assert/strict";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createMemorySpanSink } from "@parley/platform/telemetry/span-sink";
import { InboxIdentityError } from "./log-identity.ts";
import { createTestConversation } from "./testing/test-entries.ts";
import { createTestService, dispatchDirect, type TestService } from "./testing/test-service.ts";

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

const inboxOf = async (parts: TestService, userId: string) => {
  const { heads } = await parts.fanout.listInboxHeads({ userId });
  return heads.map(({ conversationId, lastSeq }) => [conversationId, Number(lastSeq)]);
};

/** Two groups, one of them begun after a copy of the inboxes was made; ended, and only the copy is left. */
async function createCopied() {
  const first = await createTestService();
  const { directory } = first;
  const [group, later] = [createTestConversation(), createTestConversation()];
  await first.append(group.batch(group.created(["ann", "bob"])));
  await first.drainLog();
  await first.stop();
  await cp(join(directory, "fanout"), join(directory, "copy"), { recursive: true });

  const second = await createTestService({ directory });
  await second.append(group.batch(group.message("bob"), group.removed("ann", "bob")));
  await second.append(later.batch(later.created(["ann"])));
  await second.drainLog();
  const expected = { ann: await inboxOf(second, "ann"), bob: await inboxOf(second, "bob") };
  await second.stop();
  await rm(join(directory, "fanout"), { recursive: true });
  return { directory, expected };
}

test("inboxes from an older copy catch up with the log", { timeout: 30_000 }, async () => {
  const { directory, expected } = await createCopied();
  await cp(join(directory, "copy"), join(directory, "fanout"), { recursive: true });
  await using parts = await createTestService({ directory });
  await parts.drainLog();
  assert.equal(expected.ann.length, 2);
  assert.deepEqual(await inboxOf(parts, "ann"), expected.ann);
  assert.deepEqual(await inboxOf(parts, "bob"), expected.bob);
});

test("inboxes that are gone are made again from the log's beginning", {
  timeout: 30_000,
}, async () => {
  const { directory, expected } = await createCopied();
  await using parts = await createTestService({ directory });
  await parts.drainLog();
  assert.deepEqual(await inboxOf(parts, "ann"), expected.ann);
  assert.deepEqual(await inboxOf(parts, "bob"), expected.bob);
});

test("a log that ends before a head is refused", async () => {
  const first = await createTestService();
  const pair = createTestConversation({ direct: ["ann", "bob"] });
  await dispatchDirect(first, pair.batch(pair.message("ann"), pair.message("bob")));
  await first.stop();
  const { directory } = first;
  await assert.rejects(
    createTestService({ directory, messagesEndOffset: 102 }),
    InboxIdentityError,
  );
  await using _again = await createTestService({ directory, messagesEndOffset: 103 });
});

test("entries that step over some show that the inboxes are older than the messages", async () => {
  await using parts = await createTestService({ online: { west: ["bob"] } });
  const pair = createTestConversation({ direct: ["ann", "bob"] });
  const first = pair.batch(pair.message("ann"), pair.message("ann"));
  await dispatchDirect(parts, first);
  await dispatchDirect(parts, first);
  assert.equal(parts.health.serving, true);
  pair.message("ann");
  await dispatchDirect(parts, pair.batch(pair.message("ann")));
  const { serving, reason } = parts.health.get("inboxes") ?? {};
  assert.equal(serving, false);
  assert.match(reason ?? "", /Restore all directories/);
  assert.deepEqual(parts.gateway("west").seqsOf("bob"), [1, 2, 1, 2, 4], "dispatched all the same");
});

test("a change of a group that is lost shows", async () => {
  await using parts = await createTestService();
  const group = createTestConversation();
  await parts.append(group.batch(group.created(["ann", "bob", "cem"])));
  await parts.drainLog();
  assert.equal(parts.health.serving, true);
  group.removed("ann", "bob");
  await parts.append(group.batch(group.removed("ann", "cem")));
  await parts.drainLog();
  const { serving, reason } = parts.health.get("inboxes") ?? {};
  assert.equal(serving, false);
  assert.match(reason ?? "", /change of a group's members/);
});
