import assert from "node:assert/strict";
import { test } from "node:test";
import { createAccountFixture } from "../testing/account-fixture.ts";

test("UnblockUser lets the person write again, and may be repeated", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  const { conversation } = await grace.conversation.openDirectConversation({ userId: ada.userId });
  const conversationId = conversation?.conversationId ?? "";
  await grace.contact.blockUser({ userId: ada.userId });
  await grace.contact.unblockUser({ userId: ada.userId });
  await grace.contact.unblockUser({ userId: ada.userId });
  const log = fixture.log.logs.get(conversationId) ?? [];
  assert.deepEqual(
    log
      .slice(1)
      .map(({ change }) =>
        change.case === "sendPermissionChanged"
          ? [change.value.userId, change.value.maySend]
          : change.case,
      ),
    [
      [ada.userId, false],
      [ada.userId, true],
    ],
  );
  assert.equal((await grace.contact.listBlocks({})).blocks.length, 0);
  await ada.conversation.openDirectConversation({ userId: grace.userId });
});

test("UnblockUser leaves the other one's block alone", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  await grace.contact.blockUser({ userId: ada.userId });
  await ada.contact.blockUser({ userId: grace.userId });
  await grace.contact.unblockUser({ userId: ada.userId });
  const { blocks } = await ada.contact.listBlocks({});
  assert.deepEqual(
    blocks.map((block) => block.user?.userId),
    [grace.userId],
  );
});
