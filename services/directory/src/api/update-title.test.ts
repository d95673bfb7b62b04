import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("UpdateTitle", () => {
  it("renames the group, and changes nothing when repeated", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", admin = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, [admin]);
    await fixture.as(owner).updateMemberRole({ conversationId, userId: admin, role: Role.ADMIN });
    const title = "Zürich 🏔️ ".repeat(5).trim();
    const first = await fixture.as(admin).updateTitle({ conversationId, title });
    assert.equal(first.conversation?.title, title);
    assert.equal(first.conversation.membershipVersion, 3n);
    assert.equal(fixture.log.membersOf(conversationId).title, title);
    const repeated = await fixture.as(admin).updateTitle({ conversationId, title });
    assert.equal(repeated.conversation?.membershipVersion, 3n);
  });

  it("is for admins and owners of groups", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", stranger = ""] = await fixture.addUsers(3);
    const conversationId = await fixture.createGroup(owner, [one]);
    const rename = (userId: string, id = conversationId) =>
      fixture.as(userId).updateTitle({ conversationId: id, title: "New" });
    await refusedWith(rename(one), "ROLE_INSUFFICIENT");
    await refusedWith(rename(stranger), "CONVERSATION_NOT_FOUND");
    const direct = await fixture.as(one).openDirectConversation({ userId: owner });
    await refusedWith(rename(one, direct.conversation?.conversationId), "NOT_A_GROUP");
  });

  it("refuses a title that is empty or too long", async () => {
    await using fixture = await createConversationFixture();
    const [owner = ""] = await fixture.addUsers(1);
    const conversationId = await fixture.createGroup(owner, []);
    for (const title of ["", "x".repeat(101)]) {
      await assert.rejects(fixture.as(owner).updateTitle({ conversationId, title }), {
        code: Code.InvalidArgument,
      });
    }
  });
});
