import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("GetInvitePreview", () => {
  it("shows what the link leads to, and whether the caller is there already", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, []);
    const { inviteLink } = await fixture.as(owner).createInviteLink({ conversationId });
    const inviteCode = inviteLink?.inviteCode ?? "";
    const preview = await fixture.as(one).getInvitePreview({ inviteCode });
    assert.equal(preview.conversationId, conversationId);
    assert.equal(preview.title, "A group");
    assert.equal(preview.memberCount, 1);
    assert.equal(preview.encryptionMode, EncryptionMode.SERVER_READABLE);
    assert.equal(preview.alreadyMember, false);
    const own = await fixture.as(owner).getInvitePreview({ inviteCode });
    assert.equal(own.alreadyMember, true);
  });

  it("does not know links that are unknown, expired, revoked or used up", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", two = ""] = await fixture.addUsers(3);
    const conversationId = await fixture.createGroup(owner, []);
    const make = async (useLimit = 0) => {
      const made = await fixture.as(owner).createInviteLink({ conversationId, useLimit });
      return made.inviteLink?.inviteCode ?? "";
    };
    const [expired, revoked, single] = [await make(), await make(), await make(1)];
    const preview = (inviteCode: string) => fixture.as(two).getInvitePreview({ inviteCode });
    for (const code of [expired, revoked, single]) await preview(code);
    await fixture.as(one).joinByInvite({ inviteCode: single });
    await fixture.as(owner).revokeInviteLink({ conversationId, inviteCode: revoked });
    await refusedWith(preview(single), "INVITE_NOT_FOUND");
    await refusedWith(preview(revoked), "INVITE_NOT_FOUND");
    await refusedWith(preview("A".repeat(22)), "INVITE_NOT_FOUND");
    await preview(expired);
    fixture.clock.advance(7 * 24 * 60 * 60 * 1000);
    await refusedWith(preview(expired), "INVITE_NOT_FOUND");
  });
});
