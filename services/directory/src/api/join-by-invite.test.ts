import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { reasonOf } from "@parley/platform/errors";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

async function groupWithLink(options: { groupMembersMax?: number; useLimit?: number } = {}) {
  const fixture = await createConversationFixture(options);
  const [owner = "", ...others] = await fixture.addUsers(31);
  const conversationId = await fixture.createGroup(owner, []);
  const { inviteLink } = await fixture
    .as(owner)
    .createInviteLink({ conversationId, useLimit: options.useLimit ?? 0 });
  const inviteCode = inviteLink?.inviteCode ?? "";
  const join = (userId: string) => fixture.as(userId).joinByInvite({ inviteCode });
  return { fixture, owner, others, conversationId, inviteCode, join };
}

describe("JoinByInvite", () => {
  it("takes the caller in; joining again uses nothing up", async () => {
    const { fixture, owner, others, conversationId, join } = await groupWithLink({ useLimit: 1 });
    await using _ = fixture;
    const [one = "", two = ""] = others;
    const { conversation } = await join(one);
    assert.equal(conversation?.ownRole, Role.MEMBER);
    assert.equal(conversation.memberCount, 2);
    assert.equal(fixture.log.membersOf(conversationId).roles.get(one), Role.MEMBER);
    const again = await join(one);
    assert.equal(again.conversation?.membershipVersion, 2n);
    await join(owner);
    await refusedWith(join(two), "INVITE_NOT_FOUND");
  });

  it("lets exactly as many people in as the link is for, whatever comes at once", async () => {
    const { fixture, others, conversationId, join } = await groupWithLink({ useLimit: 7 });
    await using _ = fixture;
    const results = await Promise.allSettled(others.map(join));
    const refusals = results.filter((result) => result.status === "rejected");
    assert.equal(results.length - refusals.length, 7);
    for (const { reason } of refusals) assert.equal(reasonOf(reason), "INVITE_NOT_FOUND");
    assert.equal(fixture.log.membersOf(conversationId).roles.size, 8);
    const row = await fixture.db.selectFrom("invite_links").selectAll().executeTakeFirst();
    assert.equal(row?.use_count, 7);
  });

  it("never exceeds the group's limit, and does not count who found it full", async () => {
    const { fixture, others, conversationId, join } = await groupWithLink({ groupMembersMax: 5 });
    await using _ = fixture;
    const results = await Promise.allSettled(others.map(join));
    const refusals = results.filter((result) => result.status === "rejected");
    assert.equal(results.length - refusals.length, 4);
    for (const { reason } of refusals) assert.equal(reasonOf(reason), "GROUP_FULL");
    assert.equal(fixture.log.membersOf(conversationId).roles.size, 5);
    const row = await fixture.db.selectFrom("invite_links").selectAll().executeTakeFirst();
    assert.equal(row?.use_count, 4);
  });

  it("does not bring back who was removed, until an admin adds them again", async () => {
    const { fixture, owner, others, conversationId, join } = await groupWithLink();
    await using _ = fixture;
    const [one = ""] = others;
    await join(one);
    await fixture.as(owner).removeMember({ conversationId, userId: one });
    await refusedWith(join(one), "REMOVED");
    await fixture.as(owner).addMembers({ conversationId, userIds: [one] });
    await fixture.as(one).leaveConversation({ conversationId });
    const { conversation } = await join(one);
    assert.equal(conversation?.ownRole, Role.MEMBER);
  });

  it("does not know a code that is none", async () => {
    const { fixture, others } = await groupWithLink();
    await using _ = fixture;
    const joining = fixture.as(others[0] ?? "").joinByInvite({ inviteCode: "A".repeat(22) });
    await refusedWith(joining, "INVITE_NOT_FOUND");
  });
});
