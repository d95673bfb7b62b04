import assert from "node:assert/strict";
import { test } from "node:test";
import { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import { newUuid } from "@parley/platform/ids";
import {
  type AccountFixture,
  createAccountFixture,
  type Person,
} from "../testing/account-fixture.ts";

async function befriend(one: Person, other: Person): Promise<void> {
  await one.contact.addContact({ userId: other.userId });
  await other.contact.addContact({ userId: one.userId });
}

async function show(person: Person, presenceVisibility: PresenceVisibility): Promise<void> {
  const privacy = { presenceVisibility, sendReadReceipts: true, searchable: true };
  await person.account.updatePrivacySettings({ privacy });
}

async function visible(
  fixture: AccountFixture,
  viewer: Person,
  people: readonly Person[],
  conversationId = "",
): Promise<string[]> {
  const { visibleUserIds } = await fixture.internal.filterVisiblePresence({
    viewerUserId: viewer.userId,
    userIds: [...people.map((person) => person.userId), newUuid()],
    conversationId,
  });
  const names = new Map(people.map((person) => [person.userId, person.username]));
  return visibleUserIds.map((userId) => names.get(userId) ?? userId);
}

async function createGroup(owner: Person, members: readonly Person[]): Promise<string> {
  const { conversation } = await owner.conversation.createGroup({
    requestId: newUuid(),
    title: "A group",
    userIds: members.map((member) => member.userId),
  });
  return conversation?.conversationId ?? "";
}

test("mutual contacts are visible, one-sided ones and strangers are not", async () => {
  await using fixture = await createAccountFixture();
  const viewer = await fixture.person("viewer");
  const mutual = await fixture.person("mutual");
  const own = await fixture.person("own");
  const theirs = await fixture.person("theirs");
  const stranger = await fixture.person("stranger");
  await befriend(viewer, mutual);
  await viewer.contact.addContact({ userId: own.userId });
  await theirs.contact.addContact({ userId: viewer.userId });
  const people = [mutual, own, theirs, stranger];
  assert.deepEqual(await visible(fixture, viewer, people), ["mutual"]);
});

test("members of the group on screen are visible to its members only", async () => {
  await using fixture = await createAccountFixture();
  const viewer = await fixture.person("viewer");
  const member = await fixture.person("member");
  const reserved = await fixture.person("reserved");
  const outsider = await fixture.person("outsider");
  await show(reserved, PresenceVisibility.CONTACTS);
  const conversationId = await createGroup(viewer, [member, reserved]);
  const people = [member, reserved, outsider];
  assert.deepEqual(await visible(fixture, viewer, people, conversationId), ["member"]);
  assert.deepEqual(await visible(fixture, viewer, people), []);
  assert.deepEqual(await visible(fixture, outsider, [viewer, member], conversationId), []);
  assert.deepEqual(await visible(fixture, reserved, [viewer, member], conversationId), []);
});

test("blocks hide both from each other", async () => {
  await using fixture = await createAccountFixture();
  const viewer = await fixture.person("viewer");
  const other = await fixture.person("other");
  const third = await fixture.person("third");
  const conversationId = await createGroup(viewer, [other, third]);
  await other.contact.blockUser({ userId: viewer.userId });
  const people = [other, third];
  assert.deepEqual(await visible(fixture, viewer, people, conversationId), ["third"]);
  assert.deepEqual(await visible(fixture, other, [viewer, third], conversationId), ["third"]);
});

test("who hides is not seen and sees nobody", async () => {
  await using fixture = await createAccountFixture();
  const viewer = await fixture.person("viewer");
  const friend = await fixture.person("friend");
  await befriend(viewer, friend);
  await show(friend, PresenceVisibility.NOBODY);
  assert.deepEqual(await visible(fixture, viewer, [friend]), []);
  assert.deepEqual(await visible(fixture, friend, [viewer]), []);
  await show(friend, PresenceVisibility.CONTACTS);
  assert.deepEqual(await visible(fixture, viewer, [friend]), ["friend"]);
});
