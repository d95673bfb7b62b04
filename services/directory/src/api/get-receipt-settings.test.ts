import assert from "node:assert/strict";
import { test } from "node:test";
import { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import { newUuid } from "@parley/platform/ids";
import { createAccountFixture } from "../testing/account-fixture.ts";

test("GetReceiptSettings names the people who send no read receipts", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  await ada.account.updatePrivacySettings({
    privacy: {
      presenceVisibility: PresenceVisibility.CONTACTS,
      sendReadReceipts: false,
      searchable: true,
    },
  });
  const userIds = [grace.userId, ada.userId, newUuid()];
  const { hidingUserIds } = await fixture.internal.getReceiptSettings({ userIds });
  assert.deepEqual(hidingUserIds, [ada.userId]);
});
