import assert from "node:assert/strict";
import { test } from "node:test";
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
