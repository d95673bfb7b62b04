import assert from "node:assert/strict";
import { test } from "node:test";
import { newUuid } from "@parley/platform/ids";
import { createAccountFixture } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("BatchGetUsers gives each existing user once and leaves unknown ones out", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  const userIds = [ada.userId, newUuid(), grace.userId, ada.userId];
  const { users } = await grace.account.batchGetUsers({ userIds });
  const byName = users.toSorted((a, b) => a.username.localeCompare(b.username));
  assert.deepEqual(byName, [ada.user, grace.user]);
});

test("BatchGetUsers refuses more than 100 ids", async () => {
  await using fixture = await createAccountFixture();
  const { account } = await fixture.person("grace");
  const userIds = Array.from({ length: 101 }, () => newUuid());
  await refusedWith(account.batchGetUsers({ userIds }), "INVALID_FIELD");
});
