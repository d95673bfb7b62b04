import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("LeaveConversation", () => {
  it("takes the caller out, and changes nothing when repeated", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, [one]);
    await fixture.as(one).leaveConversation({ conversationId });
    await fixture.as(one).leaveConversation({ conversationId });
    const { roles, membershipVersion } = fixture.log.membersOf(conversationId);
    assert.deepEqual(roles, new Map([[owner, Role.OWNER]]));
    assert.equal(membershipVersion, 2);
  });

  it("makes the longest-serving admin the owner, or else the longest-serving member", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", two = "", three = ""] = await fixture.addUsers(4);
    const conversationId = await fixture.createGroup(owner, [one]);
    await fixture.as(owner).addMembers({ conversationId, userIds: [two] });
    await fixture.as(owner).addMembers({ conversationId, userIds: [three] });
    for (const userId of [three, two]) {
      await fixture.as(owner).updateMemberRole({ conversationId, userId, role: Role.ADMIN });
    }
    const { roles } = fixture.log.membersOf(conversationId);
    await fixture.as(owner).leaveConversation({ conversationId });
    assert.equal(roles.get(two), Role.OWNER, "the older of the admins");
    await fixture.as(two).updateMemberRole({ conversationId, userId: three, role: Role.MEMBER });
    await fixture.as(two).leaveConversation({ conversationId });
    assert.equal(roles.get(one), Role.OWNER, "the oldest member");
    const { conversation } = await fixture.as(one).getConversation({ conversationId });
    assert.equal(conversation?.ownRole, Role.OWNER);
  });

  it("counts a service again from the last time somebody joined", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", two = ""] = await fixture.addUsers(3);
    const conversationId = await fixture.createGroup(owner, [one]);
    await fixture.as(owner).addMembers({ conversationId, userIds: [two] });
    await fixture.as(one).leaveConversation({ conversationId });
    await fixture.as(owner).addMembers({ conversationId, userIds: [one] });
    await fixture.as(owner).leaveConversation({ conversationId });
    assert.equal(fixture.log.membersOf(conversationId).roles.get(two), Role.OWNER);
  });

  it("ends a group with its last member", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, []);
    const { inviteLink } = await fixture.as(owner).createInviteLink({ conversationId });
    await fixture.as(owner).leaveConversation({ conversationId });
    assert.equal(fixture.log.membersOf(conversationId).roles.size, 0);
    const inviteCode = inviteLink?.inviteCode ?? "";
    await refusedWith(fixture.as(one).joinByInvite({ inviteCode }), "INVITE_NOT_FOUND");
    await refusedWith(fixture.as(owner).joinByInvite({ inviteCode }), "INVITE_NOT_FOUND");
    await refusedWith(fixture.as(one).getInvitePreview({ inviteCode }), "INVITE_NOT_FOUND");
  });

  it("is for members of groups", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, []);
    const leave = (userId: string, id: string) =>
      fixture.as(userId).leaveConversation({ conversationId: id });
    await refusedWith(leave(one, conversationId), "CONVERSATION_NOT_FOUND");
    const direct = await fixture.as(one).openDirectConversation({ userId: owner });
    await refusedWith(leave(one, direct.conversation?.conversationId ?? ""), "NOT_A_GROUP");
  });
});
