import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestConversation } from "../testing/test-entries.ts";
import { createTestService } from "../testing/test-service.ts";

test("a read position is kept, only grows, and survives a restart", async () => {
  const first = await createTestService();
  const group = createTestConversation();
  const { conversationId } = group;
  const created = group.created(["ann", "bob"]);
  await first.append(group.batch(created, ...[1, 2, 3, 4].map(() => group.message("ann"))));
  await first.drainLog();
  for (const seq of [4, 2]) {
    await first.fanout.dispatchReceipt({
      conversationId,
      userId: "bob",
      readSeq: BigInt(seq),
      readUnreadOrdinal: BigInt(seq - 1),
    });
  }
  await first.stop();
  await using second = await createTestService({ directory: first.directory });
  const { entries } = await second.inboxOf("bob").listInbox({});
  assert.equal(entries[0]?.readSeq, 4n);
  assert.equal(entries[0]?.unreadCount, 1n);
});
