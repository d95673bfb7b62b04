import { describe, it } from "node:test";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("RevokeInviteLink", () => {
  it("ends the link at once, and changes nothing when repeated or unknown", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, []);
    const { inviteLink } = await fixture.as(owner).createInviteLink({ conversationId });
    const inviteCode = inviteLink?.inviteCode ?? "";
    const revoke = (code: string) =>
      fixture.as(owner).revokeInviteLink({ conversationId, inviteCode: code });
    await revoke(inviteCode);
    await revoke(inviteCode);
    await revoke("A".repeat(22));
    await refusedWith(fixture.as(one).joinByInvite({ inviteCode }), "INVITE_NOT_FOUND");
    await refusedWith(fixture.as(one).getInvitePreview({ inviteCode }), "INVITE_NOT_FOUND");
  });

  it("does not reach the links of another group", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", other = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, []);
    const foreign = await fixture.createGroup(other, []);
    const { inviteLink } = await fixture.as(owner).createInviteLink({ conversationId });
    const inviteCode = inviteLink?.inviteCode ?? "";
    await fixture.as(other).revokeInviteLink({ conversationId: foreign, inviteCode });
    await fixture.as(other).joinByInvite({ inviteCode });
  });

  it("is for admins and owners", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", stranger = ""] = await fixture.addUsers(3);
    const conversationId = await fixture.createGroup(owner, [one]);
    const { inviteLink } = await fixture.as(owner).createInviteLink({ conversationId });
    const inviteCode = inviteLink?.inviteCode ?? "";
    const revoke = (userId: string) =>
      fixture.as(userId).revokeInviteLink({ conversationId, inviteCode });
    await refusedWith(revoke(one), "ROLE_INSUFFICIENT");
    await refusedWith(revoke(stranger), "CONVERSATION_NOT_FOUND");
    await fixture.as(stranger).getInvitePreview({ inviteCode });
  });
});
