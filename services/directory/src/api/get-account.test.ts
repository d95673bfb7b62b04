import assert from "node:assert/strict";
import { test } from "node:test";
import { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import { newUuid } from "@parley/platform/ids";
import { createAccountFixture } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("GetAccount gives the caller, the device and the defaults of privacy", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace", "Grace Hopper");
  const { user, deviceId, privacy } = await grace.account.getAccount({});
  assert.deepEqual(user, grace.user);
  assert.equal(deviceId, grace.deviceId);
  assert.equal(privacy?.presenceVisibility, PresenceVisibility.CONTACTS_AND_GROUPS);
  assert.equal(privacy.sendReadReceipts, true);
  assert.equal(privacy.searchable, true);
});

test("GetAccount refuses a caller who has no account here", async () => {
  await using fixture = await createAccountFixture();
  const { account } = fixture.as(newUuid(), newUuid());
  await refusedWith(account.getAccount({}), "ACCOUNT_NOT_FOUND");
});
