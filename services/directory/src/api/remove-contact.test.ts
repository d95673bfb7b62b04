import assert from "node:assert/strict";
import { test } from "node:test";
import { createAccountFixture } from "../testing/account-fixture.ts";

test("RemoveContact takes out one side, and may be repeated", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  await grace.contact.addContact({ userId: ada.userId });
  await ada.contact.addContact({ userId: grace.userId });
  await grace.contact.removeContact({ userId: ada.userId });
  await grace.contact.removeContact({ userId: ada.userId });
  assert.equal((await grace.contact.listContacts({})).contacts.length, 0);
  const { contacts } = await ada.contact.listContacts({});
  assert.deepEqual(
    contacts.map((contact) => [contact.user?.userId, contact.mutual]),
    [[grace.userId, false]],
  );
});
