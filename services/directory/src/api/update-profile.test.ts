import assert from "node:assert/strict";
import { test } from "node:test";
import { createAccountFixture } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("UpdateProfile changes what is set and keeps the rest", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace", "Grace");
  const named = await grace.account.updateProfile({ displayName: "  Admiral  Hopper " });
  assert.equal(named.user?.displayName, "Admiral  Hopper");
  const described = await grace.account.updateProfile({ about: "It is easier to apologise." });
  assert.equal(described.user?.displayName, "Admiral  Hopper");
  const cleared = await grace.account.updateProfile({ about: "" });
  assert.equal(cleared.user?.about, "");
  const { users } = await grace.account.batchGetUsers({ userIds: [grace.userId] });
  assert.deepEqual(users[0], cleared.user);
});

test("UpdateProfile changes nothing when nothing is set", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace", "Grace");
  assert.deepEqual((await grace.account.updateProfile({})).user, grace.user);
});

test("UpdateProfile is found by its new name", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace", "Grace");
  await grace.account.updateProfile({ displayName: "Ärztin" });
  const { users } = await grace.account.searchUsers({ query: "ärz" });
  assert.equal(users[0]?.userId, grace.userId);
});

test("UpdateProfile refuses a name of blanks", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const error = await refusedWith(
    grace.account.updateProfile({ displayName: " \t " }),
    "INVALID_FIELD",
  );
  assert.match(error.rawMessage, /display_name/);
});
