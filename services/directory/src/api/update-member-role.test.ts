import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { newUuid } from "@parley/platform/ids";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("UpdateMemberRole", () => {
  it("makes members admins and admins members", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, [one]);
    const update = (role: Role) =>
      fixture.as(owner).updateMemberRole({ conversationId, userId: one, role });
    const { roles } = fixture.log.membersOf(conversationId);
    const first = await update(Role.ADMIN);
    assert.equal(roles.get(one), Role.ADMIN);
    const repeated = await update(Role.ADMIN);
    assert.equal(repeated.conversation?.membershipVersion, first.conversation?.membershipVersion);
    await update(Role.MEMBER);
    assert.equal(roles.get(one), Role.MEMBER);
  });

  it("hands the group over in one change, and a repetition says so again", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, [one]);
    const handOver = () =>
      fixture.as(owner).updateMemberRole({ conversationId, userId: one, role: Role.OWNER });
    const { conversation } = await handOver();
    assert.equal(conversation?.ownRole, Role.ADMIN);
    assert.deepEqual(
      fixture.log.membersOf(conversationId).roles,
      new Map([
        [owner, Role.ADMIN],
        [one, Role.OWNER],
      ]),
    );
    const repeated = await handOver();
    assert.equal(repeated.conversation?.membershipVersion, conversation.membershipVersion);
  });

  it("keeps one owner when a group is handed to several people at once", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", ...others] = await fixture.addUsers(6);
    const conversationId = await fixture.createGroup(owner, others);
    const calls = others.map((userId) =>
      fixture.as(owner).updateMemberRole({ conversationId, userId, role: Role.OWNER }),
    );
    const results = await Promise.allSettled(calls);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
    const { members } = await fixture.as(owner).listMembers({ conversationId });
    assert.equal(members.filter(({ role }) => role === Role.OWNER).length, 1);
  });

  it("is for the owner, and about others who are members", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", admin = "", one = "", gone = ""] = await fixture.addUsers(4);
    const conversationId = await fixture.createGroup(owner, [admin, one, gone]);
    await fixture.as(owner).updateMemberRole({ conversationId, userId: admin, role: Role.ADMIN });
    await fixture.as(gone).leaveConversation({ conversationId });
    const update = (actor: string, userId: string, role: Role = Role.ADMIN) =>
      fixture.as(actor).updateMemberRole({ conversationId, userId, role });
    await refusedWith(update(admin, one), "ROLE_INSUFFICIENT");
    await refusedWith(update(one, admin), "ROLE_INSUFFICIENT");
    await refusedWith(update(gone, one), "CONVERSATION_NOT_FOUND");
    await refusedWith(update(newUuid(), one), "CONVERSATION_NOT_FOUND");
    await refusedWith(update(owner, gone), "MEMBER_NOT_FOUND");
    await refusedWith(update(owner, newUuid()), "MEMBER_NOT_FOUND");
    assert.equal(
      (await refusedWith(update(owner, owner), "INVALID_FIELD")).code,
      Code.InvalidArgument,
    );
    const unset = update(owner, one, Role.UNSPECIFIED);
    await assert.rejects(unset, { code: Code.InvalidArgument });
    const direct = await fixture.as(one).openDirectConversation({ userId: owner });
    await refusedWith(
      fixture.as(one).updateMemberRole({
        conversationId: direct.conversation?.conversationId ?? "",
        userId: owner,
        role: Role.ADMIN,
      }),
      "NOT_A_GROUP",
    );
  });
});
