import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { newUuid } from "@parley/platform/ids";
import { createAccountFixture } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("AddContact adds a person, and a repetition gives the first entry", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  const startMs = fixture.clock.nowMs();
  const first = await grace.contact.addContact({ userId: ada.userId });
  assert.deepEqual(first.contact?.user, ada.user);
  assert.equal(first.contact?.mutual, false);
  fixture.clock.advance(1000);
  const second = await grace.contact.addContact({ userId: ada.userId });
  assert.equal(second.contact?.createTime && timestampMs(second.contact.createTime), startMs);
});

test("AddContact says when both have each other", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  await grace.contact.addContact({ userId: ada.userId });
  const { contact } = await ada.contact.addContact({ userId: grace.userId });
  assert.equal(contact?.mutual, true);
  const { contacts } = await grace.contact.listContacts({});
  assert.equal(contacts[0]?.mutual, true);
});

test("AddContact refuses oneself, strangers to the server, and whom the caller blocks", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  await refusedWith(grace.contact.addContact({ userId: grace.userId }), "INVALID_FIELD");
  await refusedWith(grace.contact.addContact({ userId: newUuid() }), "USER_NOT_FOUND");
  await grace.contact.blockUser({ userId: ada.userId });
  const error = await refusedWith(grace.contact.addContact({ userId: ada.userId }), "BLOCKED");
  assert.equal(error.code, Code.PermissionDenied);
  await ada.contact.addContact({ userId: grace.userId });
});
