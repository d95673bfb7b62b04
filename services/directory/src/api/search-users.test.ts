import assert from "node:assert/strict";
import { test } from "node:test";
import { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import { createAccountFixture, type Person } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

async function search(viewer: Person, query: string): Promise<string[]> {
  const { users } = await viewer.account.searchUsers({ query });
  return users.map((user) => user.username);
}

async function hide(person: Person): Promise<void> {
  const presenceVisibility = PresenceVisibility.CONTACTS_AND_GROUPS;
  const privacy = { presenceVisibility, sendReadReceipts: true, searchable: false };
  await person.account.updatePrivacySettings({ privacy });
}

test("SearchUsers lists the exact username, then usernames, then display names", async () => {
  await using fixture = await createAccountFixture();
  const viewer = await fixture.person("viewer");
  await fixture.person("zoe", "Ann Zimmer");
  await fixture.person("anna", "Anna");
  await fixture.person("ann", "Somebody");
  await fixture.person("annabel", "Ann Too");
  await fixture.person("bob", "annelie");
  await fixture.person("joann", "Jo Ann");
  assert.deepEqual(await search(viewer, "ANN"), ["ann", "anna", "annabel", "zoe", "bob"]);
  assert.deepEqual(await search(viewer, "ann z"), ["zoe"]);
  assert.deepEqual(await search(viewer, "nobody"), []);
});

test("SearchUsers knows no wildcards, and folds what looks alike", async () => {
  await using fixture = await createAccountFixture();
  const viewer = await fixture.person("viewer", "100% Viewer");
  await fixture.person("a_b", "ÉMILE ﬁn");
  await fixture.person("acb", "x");
  assert.deepEqual(await search(viewer, "a_"), ["a_b"]);
  assert.deepEqual(await search(viewer, "%"), []);
  assert.deepEqual(await search(viewer, "100%"), ["viewer"]);
  assert.deepEqual(await search(viewer, "émile FI"), ["a_b"]);
  assert.deepEqual(await search(viewer, " "), []);
});

test("SearchUsers leaves out who blocks the caller, and not whom the caller blocks", async () => {
  await using fixture = await createAccountFixture();
  const viewer = await fixture.person("viewer");
  const blocker = await fixture.person("anna");
  const blocked = await fixture.person("annabel");
  await blocker.contact.blockUser({ userId: viewer.userId });
  await viewer.contact.blockUser({ userId: blocked.userId });
  assert.deepEqual(await search(viewer, "ann"), ["annabel"]);
  assert.deepEqual(await search(viewer, "anna"), ["annabel"]);
  assert.deepEqual(await search(blocked, "ann"), ["anna", "annabel"]);
});

test("SearchUsers finds who is not searchable only by the exact username", async () => {
  await using fixture = await createAccountFixture();
  const viewer = await fixture.person("viewer");
  await hide(await fixture.person("anna", "Hidden"));
  assert.deepEqual(await search(viewer, "ann"), []);
  assert.deepEqual(await search(viewer, "hid"), []);
  assert.deepEqual(await search(viewer, "Anna"), ["anna"]);
});

test("SearchUsers pages through every match once, in order", async () => {
  await using fixture = await createAccountFixture();
  const viewer = await fixture.person("viewer");
  const names = Array.from({ length: 6 }, (_, index) => `sam${index}`);
  for (const name of names) await fixture.person(name, "x");
  for (const name of names) await fixture.person(`other${name}`, "Sam the same");
  await fixture.person("sam", "Sam");
  const all = (await viewer.account.searchUsers({ query: "sam" })).users;
  assert.equal(all.length, 13);
  for (const pageSize of [1, 2, 5, 13]) {
    const paged: typeof all = [];
    let pageToken = "";
    do {
      const page = await viewer.account.searchUsers({ query: "sam", pageSize, pageToken });
      assert.ok(page.users.length <= pageSize);
      paged.push(...page.users);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    assert.deepEqual(paged, all);
  }
});

test("SearchUsers gives at most 50, and refuses a bad page token", async () => {
  await using fixture = await createAccountFixture();
  const viewer = await fixture.person("viewer");
  for (let index = 0; index < 52; index++) await fixture.person(`sam${index}`);
  const page = await viewer.account.searchUsers({ query: "sam", pageSize: 1000 });
  assert.equal(page.users.length, 50);
  for (const pageToken of ["x", "AAAA", Buffer.from("[7,1,2]").toString("base64url")]) {
    const error = await refusedWith(
      viewer.account.searchUsers({ query: "sam", pageToken }),
      "INVALID_FIELD",
    );
    assert.match(error.rawMessage, /page_token/);
  }
});
