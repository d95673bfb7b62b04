import assert from "node:assert/strict";
import { test } from "node:test";
import { reasonOf } from "@parley/platform/errors";
import { createSilentLogger } from "@parley/platform/telemetry/logger";
import { noopTracer } from "@parley/platform/telemetry/tracer";
import { GIVE_UP_MS, HANDOVER_WAIT_MS } from "./delivery-queue.ts";
import { createDispatcher } from "./dispatcher.ts";
import type { Conversation } from "./domain/conversation.ts";
import { createTestConversation } from "./testing/test-entries.ts";
import { createTestService, dispatchDirect } from "./testing/test-service.ts";

test("entries of a group reach every member through one delivery per gateway", async () => {
  await using parts = await createTestService();
  const { registry, append, gateway } = parts;
  const group = createTestConversation();
  registry.online("west", "ann", "bob");
  registry.online("east", "bob", "cid");
  await append(group.batch(group.created(["ann", "bob", "cid", "dan"]), group.message("ann")));
  await Promise.all([gateway("west").received(1), gateway("east").received(1)]);
  assert.deepEqual(gateway("west").seqsOf("ann"), [1, 2]);
  assert.deepEqual(gateway("west").seqsOf("bob"), [1, 2]);
  assert.deepEqual(gateway("east").seqsOf("bob"), [1, 2]);
  assert.deepEqual(gateway("east").seqsOf("cid"), [1, 2]);
  assert.equal(gateway("east").deliveries.length, 1);
});

test("a direct entry is answered when both people have it", async () => {
  await using parts = await createTestService();
  const { registry, gateway } = parts;
  const pair = createTestConversation({ direct: ["ann", "bob"] });
  registry.online("west", "ann", "bob");
  const answered = await dispatchDirect(parts, pair.batch(pair.message("ann", { origin: "s1" })));
  assert.deepEqual(answered, [1n]);
  const [delivery] = gateway("west").deliveries;
  assert.deepEqual(delivery?.userIds.toSorted(), ["ann", "bob"]);
  assert.equal(delivery?.conversationId, pair.conversationId);
  assert.equal(delivery?.events[0]?.originSessionId, "s1");
});

test("batches of many pairs at once ask the registry once", async () => {
  await using parts = await createTestService();
  const { registry, gateway } = parts;
  registry.online("west", "ann", "bob");
  const pairs = Array.from({ length: 100 }, () =>
    createTestConversation({ direct: ["ann", "bob"] }),
  );
  const answered = await dispatchDirect(parts, ...pairs.map((p) => p.batch(p.message("ann"))));
  assert.equal(answered.length, 100);
  assert.equal(gateway("west").deliveries.length, 100);
  assert.ok(registry.lookUps <= 2, `${registry.lookUps} look-ups`);
});

test("order holds within a conversation whatever the batches", async () => {
  await using parts = await createTestService();
  const { registry, gateway, append } = parts;
  registry.online("west", "ann");
  registry.online("east", "bob");
  const group = createTestConversation();
  const entries = [group.created(["ann", "bob"])];
  for (let index = 0; index < 300; index++) entries.push(group.message("ann"));
  const appended = [];
  for (let start = 0; start < entries.length; start += 7) {
    appended.push(append(group.batch(...entries.slice(start, start + 7))));
  }
  await Promise.all(appended);
  await parts.drainLog();
  const expected = entries.map(({ seq }) => Number(seq));
  assert.deepEqual(gateway("west").seqsOf("ann"), expected);
  assert.deepEqual(gateway("east").seqsOf("bob"), expected);
});

test("the removed get their removal last; the added start with their joining", async () => {
  await using parts = await createTestService();
  const { registry, gateway, append } = parts;
  registry.online("west", "ann", "bob", "cid");
  const group = createTestConversation();
  await append(
    group.batch(
      group.created(["ann", "bob"]),
      group.message("ann"),
      group.removed("ann", "bob"),
      group.message("ann"),
      group.added("ann", ["cid"]),
      group.message("ann"),
    ),
  );
  await append(group.batch(group.left("cid"), group.message("ann")));
  await parts.drainLog();
  assert.deepEqual(gateway("west").seqsOf("ann"), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(gateway("west").seqsOf("bob"), [1, 2, 3]);
  assert.deepEqual(gateway("west").seqsOf("cid"), [5, 6, 7]);
});

test("the inbox is readable before sessions are looked up", async () => {
  const seen: bigint[] = [];
  let stored: Conversation | undefined;
  const durable = Promise.withResolvers<void>();
  await using dispatcher = createDispatcher({
    store: {
      readConversation: async () => stored,
      write({ conversation }) {
        // Visible only some turns later: whoever looks sessions up before that would see the old head.
        const visible = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
          stored = conversation;
        });
        return { visible, durable: durable.promise };
      },
    },
    locator: {
      async locate() {
        seen.push(stored?.head.seq ?? 0n);
        return [];
      },
    },
    deliverer: { hand: () => Promise.resolve() },
    metrics: { dispatched: () => undefined },
    tracer: noopTracer,
    onMissing: () => assert.fail("nothing is missing"),
    onMissingChange: () => assert.fail("no change is missing"),
    log: createSilentLogger(),
  });
  const group = createTestConversation();
  let answered = false;
  const first = dispatcher.dispatch(group.batch(group.created(["ann"]))).then(() => {
    answered = true;
  });
  const second = dispatcher.dispatch(group.batch(group.message("ann")));
  while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(seen, [2n]);
  assert.equal(answered, false, "not before it is durable");
  durable.resolve();
  await Promise.all([first, second]);
});

test("a store that fails is tried again, and no entry is skipped", async () => {
  let failures = 2;
  const heads: bigint[] = [];
  await using dispatcher = createDispatcher({
    store: {
      async readConversation() {
        if (failures-- > 0) throw new Error("not now");
        return undefined;
      },
      write({ conversation }) {
        heads.push(conversation?.head.seq ?? 0n);
        return { visible: Promise.resolve(), durable: Promise.resolve() };
      },
    },
    locator: { locate: async () => [] },
    deliverer: { hand: () => Promise.resolve() },
    metrics: { dispatched: () => undefined },
    tracer: noopTracer,
    onMissing: () => assert.fail("nothing is missing"),
    onMissingChange: () => assert.fail("no change is missing"),
    log: createSilentLogger(),
  });
  const group = createTestConversation();
  await dispatcher.dispatch(group.batch(group.created(["ann"])));
  assert.deepEqual(heads, [1n]);
});

test("a dead gateway holds up nobody else, and its people count as absent", async () => {
  await using parts = await createTestService();
  const { registry, gateway, clock, telemetry } = parts;
  gateway("dead").mode = "deaf";
  registry.online("dead", "ann");
  registry.online("west", "bob", "cid");
  const pair = createTestConversation({ direct: ["ann", "bob"] });
  const other = createTestConversation({ direct: ["bob", "cid"] });
  const held = dispatchDirect(parts, pair.batch(pair.message("bob")));
  await gateway("west").received(1);
  await dispatchDirect(parts, other.batch(other.message("bob")));
  assert.deepEqual(gateway("west").seqsOf("cid"), [1]);
  clock.advance(HANDOVER_WAIT_MS);
  await held;
  clock.advance(GIVE_UP_MS - HANDOVER_WAIT_MS);
  const metrics = await telemetry.metrics.renderMetrics();
  assert.match(metrics, /parley_fanout_absent_total\{cause="given_up"\} 1/);
});

test("while presence is down events wait for it", async () => {
  await using parts = await createTestService();
  const { registry, gateway } = parts;
  registry.online("west", "ann", "bob");
  registry.down = true;
  const pair = createTestConversation({ direct: ["ann", "bob"] });
  const dispatched = dispatchDirect(parts, pair.batch(pair.message("ann")));
  while (registry.lookUps < 2) await new Promise((resolve) => setImmediate(resolve));
  registry.down = false;
  await dispatched;
  assert.deepEqual(gateway("west").seqsOf("bob"), [1]);
});

test("a dispatch that the end of the service interrupts is refused, not answered", async () => {
  await using parts = await createTestService();
  const { registry, service } = parts;
  registry.down = true;
  const pair = createTestConversation({ direct: ["ann", "bob"] });
  const dispatched = dispatchDirect(parts, pair.batch(pair.message("ann")));
  const refused = assert.rejects(dispatched, (error) => reasonOf(error) === "CANCELED");
  while (registry.lookUps < 1) await new Promise((resolve) => setImmediate(resolve));
  await service[Symbol.asyncDispose]();
  await refused;
});

test("a store that waits for the disk does not hold up the end", async () => {
  const never = new Promise<void>(() => undefined);
  const written = Promise.withResolvers<void>();
  const dispatcher = createDispatcher({
    store: {
      readConversation: async () => undefined,
      write() {
        written.resolve();
        return { visible: never, durable: never };
      },
    },
    locator: { locate: () => assert.fail("it is not visible") },
    deliverer: { hand: () => Promise.resolve() },
    metrics: { dispatched: () => undefined },
    tracer: noopTracer,
    onMissing: () => undefined,
    onMissingChange: () => undefined,
    log: createSilentLogger(),
  });
  const group = createTestConversation();
  const dispatched = dispatcher.dispatch(group.batch(group.created(["ann"])));
  const refused = assert.rejects(dispatched, (error) => reasonOf(error) === "STOPPING");
  await written.promise;
  await dispatcher[Symbol.asyncDispose]();
  await refused;
});
