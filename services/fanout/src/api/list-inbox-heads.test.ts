import assert from "node:assert/strict";
import { test } from "node:test";
import { reasonOf } from "@parley/platform/errors";
import { createTestConversation } from "../testing/test-entries.ts";
import { createTestService } from "../testing/test-service.ts";

test("heads are listed by conversation, in pages, with memberships", async () => {
  await using parts = await createTestService();
  const { append, fanout } = parts;
  const groups = Array.from({ length: 5 }, () => createTestConversation());
  for (const group of groups) {
    await append(group.batch(group.created(["ann", "bob"]), group.message("bob")));
  }
  const [left, joined] = groups;
  assert.ok(left !== undefined && joined !== undefined);
  await append(left.batch(left.removed("ann", "bob"), left.message("ann")));
  await append(joined.batch(joined.removed("ann", "bob"), joined.added("ann", ["bob"])));
  await parts.drainLog();

  const heads = [];
  let pageToken = "";
  do {
    const page = await fanout.listInboxHeads({ userId: "bob", pageSize: 2, pageToken });
    assert.ok(page.heads.length <= 2);
    heads.push(...page.heads);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  const ids = groups.map(({ conversationId }) => conversationId);
  assert.deepEqual(
    heads.map(({ conversationId }) => conversationId),
    ids,
  );
  const shown = heads.map(({ lastSeq, firstSeq, member }) => [lastSeq, firstSeq, member]);
  assert.deepEqual(shown.slice(0, 3), [
    [3n, 1n, false],
    [4n, 4n, true],
    [2n, 1n, true],
  ]);
  assert.equal(heads[0]?.lastMessageId, 3_000_000n + (heads[2]?.lastMessageId ?? 0n) - 2_000_002n);
});

test("a token that is not one is refused", async () => {
  await using parts = await createTestService();
  await assert.rejects(
    parts.fanout.listInboxHeads({ userId: "ann", pageToken: "nonsense" }),
    (error) => reasonOf(error) === "INVALID_FIELD",
  );
});

test("who has no conversation has no heads", async () => {
  await using parts = await createTestService();
  const { heads, nextPageToken } = await parts.fanout.listInboxHeads({ userId: "ann" });
  assert.deepEqual([heads, nextPageToken], [[], ""]);
});
