import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { errorInfoOf, reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("AddMembers", () => {
  it("adds who is not in yet, in one change, and leaves who is as they are", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", admin = "", one = "", two = ""] = await fixture.addUsers(4);
    const conversationId = await fixture.createGroup(owner, [admin]);
    await fixture.as(owner).updateMemberRole({ conversationId, userId: admin, role: Role.ADMIN });
    const { conversation } = await fixture
      .as(admin)
      .addMembers({ conversationId, userIds: [one, admin, two, one] });
    assert.equal(conversation?.memberCount, 4);
    assert.equal(conversation.membershipVersion, 3n);
    assert.equal(fixture.log.membersOf(conversationId).roles.get(admin), Role.ADMIN);
    const again = await fixture.as(admin).addMembers({ conversationId, userIds: [one, two] });
    assert.equal(again.conversation?.membershipVersion, 3n);
  });

  it("never exceeds the limit, whatever comes at once", async () => {
    await using fixture = await createConversationFixture({ groupMembersMax: 20 });
    const [owner = "", ...others] = await fixture.addUsers(101);
    const conversationId = await fixture.createGroup(owner, []);
    // 50 calls of two people each for the 19 places that are left.
    const calls = Array.from({ length: 50 }, (_, index) =>
      fixture
        .as(owner)
        .addMembers({ conversationId, userIds: others.slice(index * 2, index * 2 + 2) }),
    );
    const results = await Promise.allSettled(calls);
    const refusals = results.filter((result) => result.status === "rejected");
    assert.equal(results.length - refusals.length, 9, "nine pairs fit");
    for (const { reason } of refusals) assert.equal(reasonOf(reason), "GROUP_FULL");
    const { members } = await fixture.as(owner).listMembers({ conversationId });
    assert.equal(members.length, 19);
    assert.deepEqual(
      new Set(fixture.log.membersOf(conversationId).roles.keys()),
      new Set(members.map(({ userId }) => userId)),
    );
    const { conversation } = await fixture
      .as(owner)
      .addMembers({ conversationId, userIds: others.slice(-1) });
    assert.equal(conversation?.memberCount, 20, "the last place can be taken");
  });

  it("is all or nothing, and names who does not exist or blocks the caller", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", two = "", three = ""] = await fixture.addUsers(4);
    const stranger = newUuid();
    const conversationId = await fixture.createGroup(owner, [three]);
    await fixture.people.block(two, owner);
    // Who is in already may block as they like.
    await fixture.people.block(three, owner);
    const add = (...userIds: string[]) => fixture.as(owner).addMembers({ conversationId, userIds });
    const unknown = await refusedWith(add(one, two, stranger), "USER_NOT_FOUND");
    assert.deepEqual(errorInfoOf(unknown)?.metadata, { user_ids: stranger });
    const blocked = await refusedWith(add(one, two, three), "BLOCKED");
    assert.deepEqual(errorInfoOf(blocked)?.metadata, { user_ids: two });
    const { conversation } = await add(one, three);
    assert.equal(conversation?.memberCount, 3);
  });

  it("is for admins and owners of groups", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", two = "", gone = "", stranger = ""] = await fixture.addUsers(5);
    const conversationId = await fixture.createGroup(owner, [one, gone]);
    await fixture.as(gone).leaveConversation({ conversationId });
    const add = (userId: string) =>
      fixture.as(userId).addMembers({ conversationId, userIds: [two] });
    await refusedWith(add(one), "ROLE_INSUFFICIENT");
    await refusedWith(add(gone), "CONVERSATION_NOT_FOUND");
    await refusedWith(add(stranger), "CONVERSATION_NOT_FOUND");
    const direct = await fixture.as(one).openDirectConversation({ userId: owner });
    await refusedWith(
      fixture.as(one).addMembers({
        conversationId: direct.conversation?.conversationId ?? "",
        userIds: [two],
      }),
      "NOT_A_GROUP",
    );
  });
});
