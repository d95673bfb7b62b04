import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ConversationKind,
  EncryptionMode,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { errorInfoOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("CreateGroup", () => {
  it("creates a group whose owner is the caller, and tells the log who is in it", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", two = ""] = await fixture.addUsers(3);
    const { conversation } = await fixture
      .as(owner)
      .createGroup({ requestId: newUuid(), title: "Climbers", userIds: [one, two, one, owner] });
    assert.equal(conversation?.kind, ConversationKind.GROUP);
    assert.equal(conversation?.title, "Climbers");
    assert.equal(conversation?.memberCount, 3);
    assert.equal(conversation?.ownRole, Role.OWNER);
    assert.equal(conversation?.membershipVersion, 1n);
    assert.equal(conversation?.encryptionMode, EncryptionMode.SERVER_READABLE);
    assert.equal(conversation?.peerUserId, "");
    const members = fixture.log.membersOf(conversation.conversationId);
    assert.equal(members.title, "Climbers");
    assert.deepEqual(
      members.roles,
      new Map([
        [owner, Role.OWNER],
        [one, Role.MEMBER],
        [two, Role.MEMBER],
      ]),
    );
  });

  it("gives the first group to a repetition within 24 hours, and a new one afterwards", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const request = { requestId: newUuid(), title: "Once", userIds: [one] };
    const first = await fixture.as(owner).createGroup(request);
    await fixture.people.block(one, owner);
    fixture.clock.advance(24 * 60 * 60 * 1000);
    const second = await fixture.as(owner).createGroup({ ...request, title: "Twice" });
    assert.equal(second.conversation?.conversationId, first.conversation?.conversationId);
    assert.equal(second.conversation?.title, "Once");
    await fixture.people.unblock(one, owner);
    fixture.clock.advance(1);
    const third = await fixture.as(owner).createGroup(request);
    assert.notEqual(third.conversation?.conversationId, first.conversation?.conversationId);
  });

  it("creates one group for repetitions at once, and one per person", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const request = { requestId: newUuid(), title: "Once", userIds: [] };
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => fixture.as(owner).createGroup(request)),
    );
    const ids = new Set(answers.map(({ conversation }) => conversation?.conversationId));
    assert.equal(ids.size, 1);
    const other = await fixture.as(one).createGroup(request);
    assert.ok(!ids.has(other.conversation?.conversationId));
    assert.equal(fixture.log.logs.size, 2);
  });

  it("names the people who do not exist, and then those who block the caller", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", two = ""] = await fixture.addUsers(3);
    const stranger = newUuid();
    await fixture.people.block(one, owner);
    await fixture.people.block(owner, two);
    const create = (userIds: string[]) =>
      fixture.as(owner).createGroup({ requestId: newUuid(), title: "T", userIds });
    const unknown = await refusedWith(create([one, stranger]), "USER_NOT_FOUND");
    assert.equal(errorInfoOf(unknown)?.metadata.user_ids, stranger);
    const blocked = await refusedWith(create([one, two]), "BLOCKED");
    assert.equal(errorInfoOf(blocked)?.metadata.user_ids, one);
    assert.equal(fixture.log.logs.size, 0);
  });

  it("refuses more members than the limit", async () => {
    await using fixture = await createConversationFixture({ groupMembersMax: 3 });
    const [owner = "", ...others] = await fixture.addUsers(4);
    const create = (userIds: string[]) =>
      fixture.as(owner).createGroup({ requestId: newUuid(), title: "T", userIds });
    await refusedWith(create(others), "GROUP_FULL");
    const { conversation } = await create(others.slice(0, 2));
    assert.equal(conversation?.memberCount, 3);
  });

  it("refuses a mode that the server does not offer", async () => {
    await using fixture = await createConversationFixture();
    const [owner = ""] = await fixture.addUsers(1);
    const encryptionMode = EncryptionMode.END_TO_END;
    await refusedWith(
      fixture.as(owner).createGroup({ requestId: newUuid(), title: "T", encryptionMode }),
      "ENCRYPTION_MODE_NOT_OFFERED",
    );
  });
});
