import assert from "node:assert/strict";
import { test } from "node:test";
import { reasonOf } from "@parley/platform/errors";
import { createTestConversation } from "../testing/test-entries.ts";
import { createTestService, type TestService } from "../testing/test-service.ts";

const people = (count: number) => Array.from({ length: count }, (_, index) => `u${index}`);
const event = new Uint8Array([1, 2, 3]);

async function createGroup({ append, registry, drainLog }: TestService, count: number) {
  registry.online("west", ...people(count));
  const group = createTestConversation();
  await append(group.batch(group.created(people(count))));
  await drainLog();
  return group;
}

test("the others get it, the author does not, and it has no place", async () => {
  await using parts = await createTestService();
  const { conversationId } = await createGroup(parts, 64);
  const before = parts.gateway("west").deliveries.length;
  await parts.fanout.dispatchEphemeral({ conversationId, authorUserId: "u3", event });
  await parts.gateway("west").received(before + 1);
  const delivery = parts.gateway("west").deliveries.at(-1);
  assert.equal(delivery?.conversationId, "");
  assert.equal(delivery?.userIds.length, 63);
  assert.ok(!delivery?.userIds.includes("u3"));
  assert.equal(delivery?.events[0]?.seq, 0n);
  assert.deepEqual(delivery?.events[0]?.event, event);
});

test("above 64 members nobody gets it", async () => {
  await using parts = await createTestService();
  const { conversationId } = await createGroup(parts, 65);
  const { lookUps } = parts.registry;
  await parts.fanout.dispatchEphemeral({ conversationId, authorUserId: "u3", event });
  assert.equal(parts.registry.lookUps, lookUps);
});

for (const authorUserId of ["stranger", "u1"]) {
  test(`who is no member (${authorUserId}) is refused`, async () => {
    await using parts = await createTestService();
    const group = await createGroup(parts, 3);
    const { conversationId } = group;
    await parts.append(group.batch(group.removed("u0", "u1")));
    await parts.drainLog();
    await assert.rejects(
      parts.fanout.dispatchEphemeral({ conversationId, authorUserId, event }),
      (error) => reasonOf(error) === "NOT_A_MEMBER",
    );
    await assert.rejects(
      parts.fanout.dispatchEphemeral({ conversationId: "unknown", authorUserId, event }),
      (error) => reasonOf(error) === "NOT_A_MEMBER",
    );
  });
}
