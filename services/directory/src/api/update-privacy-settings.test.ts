import assert from "node:assert/strict";
import { test } from "node:test";
import { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import { createAccountFixture } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("UpdatePrivacySettings replaces all settings, and may be repeated", async () => {
  await using fixture = await createAccountFixture();
  const { account } = await fixture.person("grace");
  const privacy = {
    presenceVisibility: PresenceVisibility.NOBODY,
    sendReadReceipts: false,
    searchable: false,
  };
  const first = await account.updatePrivacySettings({ privacy });
  const second = await account.updatePrivacySettings({ privacy });
  assert.deepEqual(second.privacy, first.privacy);
  assert.deepEqual((await account.getAccount({})).privacy, first.privacy);
});

test("UpdatePrivacySettings refuses settings that are not stated", async () => {
  await using fixture = await createAccountFixture();
  const { account } = await fixture.person("grace");
  await refusedWith(account.updatePrivacySettings({}), "INVALID_FIELD");
  await refusedWith(account.updatePrivacySettings({ privacy: {} }), "INVALID_FIELD");
});
