import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { reasonOf } from "@parley/platform/errors";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

const DAY_SECONDS = 24 * 60 * 60;

describe("CreateInviteLink", () => {
  it("makes a link of 22 characters that lives 7 days, or as long as is said", async () => {
    await using fixture = await createConversationFixture();
    const [owner = ""] = await fixture.addUsers(1);
    const conversationId = await fixture.createGroup(owner, []);
    const nowSeconds = fixture.clock.nowMs() / 1000;
    const { inviteLink } = await fixture.as(owner).createInviteLink({ conversationId });
    assert.match(inviteLink?.inviteCode ?? "", /^[A-Za-z0-9_-]{22}$/);
    assert.equal(inviteLink?.conversationId, conversationId);
    assert.equal(inviteLink.creatorUserId, owner);
    assert.equal(Number(inviteLink.expireTime?.seconds), nowSeconds + 7 * DAY_SECONDS);
    assert.equal(inviteLink.useLimit, 0);
    const lifetime = { seconds: 60n, nanos: 0 };
    const second = await fixture
      .as(owner)
      .createInviteLink({ conversationId, lifetime, useLimit: 3 });
    assert.notEqual(second.inviteLink?.inviteCode, inviteLink.inviteCode);
    assert.equal(Number(second.inviteLink?.expireTime?.seconds), nowSeconds + 60);
    assert.equal(second.inviteLink?.useLimit, 3);
  });

  it("makes at most 20 live links, whatever comes at once; ended ones do not count", async () => {
    await using fixture = await createConversationFixture();
    const [owner = ""] = await fixture.addUsers(1);
    const conversationId = await fixture.createGroup(owner, []);
    const make = () => fixture.as(owner).createInviteLink({ conversationId });
    const results = await Promise.allSettled(Array.from({ length: 30 }, make));
    const refusals = results.filter((result) => result.status === "rejected");
    assert.equal(refusals.length, 10);
    for (const { reason } of refusals) assert.equal(reasonOf(reason), "INVITE_LIMIT");
    const { inviteLinks } = await fixture.as(owner).listInviteLinks({ conversationId });
    assert.equal(inviteLinks.length, 20);
    const inviteCode = inviteLinks[0]?.inviteCode ?? "";
    await fixture.as(owner).revokeInviteLink({ conversationId, inviteCode });
    await make();
    await refusedWith(make(), "INVITE_LIMIT");
    fixture.clock.advance(7 * DAY_SECONDS * 1000);
    await make();
  });

  it("forgets the oldest ended links of a group, so that they do not pile up", async () => {
    await using fixture = await createConversationFixture();
    const [owner = ""] = await fixture.addUsers(1);
    const conversationId = await fixture.createGroup(owner, []);
    const codes: string[] = [];
    for (let index = 0; index < 105; index++) {
      fixture.clock.advance(1);
      const { inviteLink } = await fixture.as(owner).createInviteLink({ conversationId });
      const inviteCode = inviteLink?.inviteCode ?? "";
      await fixture.as(owner).revokeInviteLink({ conversationId, inviteCode });
      codes.push(inviteCode);
    }
    const rows = await fixture.db.selectFrom("invite_links").select("invite_code").execute();
    assert.deepEqual(new Set(rows.map((row) => row.invite_code)), new Set(codes.slice(5)));
  });

  it("is for admins and owners of groups, within the bounds of the contract", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", stranger = ""] = await fixture.addUsers(3);
    const conversationId = await fixture.createGroup(owner, [one]);
    const make = (userId: string, id = conversationId) =>
      fixture.as(userId).createInviteLink({ conversationId: id });
    await refusedWith(make(one), "ROLE_INSUFFICIENT");
    await refusedWith(make(stranger), "CONVERSATION_NOT_FOUND");
    const direct = await fixture.as(one).openDirectConversation({ userId: owner });
    await refusedWith(make(one, direct.conversation?.conversationId), "NOT_A_GROUP");
    const lifetime = { seconds: BigInt(91 * DAY_SECONDS), nanos: 0 };
    await assert.rejects(fixture.as(owner).createInviteLink({ conversationId, lifetime }), {
      code: Code.InvalidArgument,
    });
  });
});
