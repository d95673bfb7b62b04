import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("ListInviteLinks", () => {
  it("lists the live links of the group, newest first, with the uses that are left", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", two = ""] = await fixture.addUsers(3);
    const conversationId = await fixture.createGroup(owner, []);
    const make = async (useLimit: number, seconds: bigint) => {
      fixture.clock.advance(1);
      const lifetime = { seconds, nanos: 0 };
      const { inviteLink } = await fixture
        .as(owner)
        .createInviteLink({ conversationId, useLimit, lifetime });
      return inviteLink?.inviteCode ?? "";
    };
    const short = await make(0, 60n);
    const single = await make(1, 3600n);
    const triple = await make(3, 3600n);
    const ended = await make(0, 3600n);
    const open = await make(0, 3600n);
    await fixture.as(one).joinByInvite({ inviteCode: single });
    await fixture.as(two).joinByInvite({ inviteCode: triple });
    await fixture.as(owner).revokeInviteLink({ conversationId, inviteCode: ended });
    const list = async () => {
      const { inviteLinks } = await fixture.as(owner).listInviteLinks({ conversationId });
      return inviteLinks.map(({ inviteCode, useLimit, useCount }) => [
        inviteCode,
        useLimit,
        useCount,
      ]);
    };
    assert.deepEqual(await list(), [
      [open, 0, 0],
      [triple, 2, 1],
      [short, 0, 0],
    ]);
    fixture.clock.advance(60_000);
    assert.deepEqual(await list(), [
      [open, 0, 0],
      [triple, 2, 1],
    ]);
  });

  it("is for admins and owners", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", stranger = ""] = await fixture.addUsers(3);
    const conversationId = await fixture.createGroup(owner, [one]);
    const list = (userId: string) => fixture.as(userId).listInviteLinks({ conversationId });
    await refusedWith(list(one), "ROLE_INSUFFICIENT");
    await refusedWith(list(stranger), "CONVERSATION_NOT_FOUND");
  });
});
