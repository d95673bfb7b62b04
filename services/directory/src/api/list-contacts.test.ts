import assert from "node:assert/strict";
import { test } from "node:test";
import { createAccountFixture } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("ListContacts lists by display name without case, in pages", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const names = ["zoe", "Bob", "anna", "Anna", "äda"];
  for (const [index, name] of names.entries()) {
    const { userId } = await fixture.person(`user${index}`, name);
    await grace.contact.addContact({ userId });
    // Of two with the same name the older account comes first.
    fixture.clock.advance(1);
  }
  const { contacts, nextPageToken } = await grace.contact.listContacts({});
  assert.equal(nextPageToken, "");
  const listed = contacts.map((contact) => contact.user?.displayName);
  assert.deepEqual(listed, ["anna", "Anna", "Bob", "zoe", "äda"]);
  for (const pageSize of [1, 2, 5]) {
    const paged: typeof contacts = [];
    let pageToken = "";
    do {
      const page = await grace.contact.listContacts({ pageSize, pageToken });
      paged.push(...page.contacts);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    assert.deepEqual(paged, contacts);
  }
});

test("ListContacts refuses a bad page token", async () => {
  await using fixture = await createAccountFixture();
  const { contact } = await fixture.person("grace");
  for (const pageToken of ["x", Buffer.from('["a","b"]').toString("base64url")]) {
    await refusedWith(contact.listContacts({ pageToken }), "INVALID_FIELD");
  }
});
