import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConversationChange } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { newUuid } from "@parley/platform/ids";
import { createSqlContactStore } from "../embedded/sql-contact-store.ts";
import { openSqliteDatabase } from "../embedded/sqlite-database.ts";
import { createAccountFixture, type Person } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

async function openDirect(person: Person, other: Person): Promise<string> {
  const { conversation } = await person.conversation.openDirectConversation({
    userId: other.userId,
  });
  return conversation?.conversationId ?? "";
}

test("BlockUser stops the person's messages, takes the contact out, and may be repeated", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  await grace.contact.addContact({ userId: ada.userId });
  const conversationId = await openDirect(grace, ada);
  await grace.contact.blockUser({ userId: ada.userId });
  await grace.contact.blockUser({ userId: ada.userId });
  assert.deepEqual(lastPermission(fixture.log.logs.get(conversationId)), [ada.userId, false]);
  assert.equal(fixture.log.logs.get(conversationId)?.length, 2);
  assert.equal((await grace.contact.listContacts({})).contacts.length, 0);
  assert.equal((await grace.contact.listBlocks({})).blocks.length, 1);
});

test("BlockUser counts also without a conversation", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  await grace.contact.blockUser({ userId: ada.userId });
  await refusedWith(openDirect(ada, grace), "BLOCKED");
});

test("BlockUser refuses oneself and strangers to the server", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  await refusedWith(grace.contact.blockUser({ userId: grace.userId }), "INVALID_FIELD");
  await refusedWith(grace.contact.blockUser({ userId: newUuid() }), "USER_NOT_FOUND");
});

test("a block that was written right before a crash is brought by the next process", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  const conversationId = await openDirect(grace, ada);
  await fixture.restart(async (path) => {
    await using database = await openSqliteDatabase({ path });
    const options = { blocksMax: 1, nowMs: fixture.clock.nowMs() };
    await createSqlContactStore(database).blockUser(grace.userId, ada.userId, options);
  });
  await fixture.log.applied(conversationId, 2);
  assert.deepEqual(lastPermission(fixture.log.logs.get(conversationId)), [ada.userId, false]);
});

test("a block whose change was on its way at the end of a process is brought by the next one", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  const conversationId = await openDirect(grace, ada);
  const release = fixture.log.hold();
  const blocking = grace.contact.blockUser({ userId: ada.userId });
  blocking.catch(() => undefined);
  await fixture.log.arrived(2);
  const restarted = fixture.restart();
  await assert.rejects(blocking);
  await restarted;
  release();
  await fixture.log.applied(conversationId, 2);
  assert.deepEqual(lastPermission(fixture.log.logs.get(conversationId)), [ada.userId, false]);
});

function lastPermission(log: readonly ConversationChange[] | undefined) {
  const change = log?.at(-1)?.change;
  assert.ok(change?.case === "sendPermissionChanged");
  return [change.value.userId, change.value.maySend];
}
