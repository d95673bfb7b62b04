import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { newUuid } from "@parley/platform/ids";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("GetConversation", () => {
  it("shows members the conversation with their own role", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, [one]);
    const { conversation } = await fixture.as(one).getConversation({ conversationId });
    assert.equal(conversation?.conversationId, conversationId);
    assert.equal(conversation.ownRole, Role.MEMBER);
    assert.equal(conversation.preferences?.conversationId, conversationId);
    assert.equal(conversation.preferences.muteUntilTime, undefined);
    assert.equal(
      Number(conversation.createTime?.seconds) * 1000,
      fixture.clock.nowMs(),
      "created now",
    );
  });

  it("shows former members the conversation as it is, without a role", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, [one]);
    await fixture.as(one).leaveConversation({ conversationId });
    await fixture.as(owner).updateTitle({ conversationId, title: "Later" });
    const { conversation } = await fixture.as(one).getConversation({ conversationId });
    assert.equal(conversation?.ownRole, Role.UNSPECIFIED);
    assert.equal(conversation.title, "Later");
    assert.equal(conversation.memberCount, 1);
  });

  it("does not exist for everybody else", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", stranger = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, []);
    const read = (id: string) => fixture.as(stranger).getConversation({ conversationId: id });
    const other = await refusedWith(read(conversationId), "CONVERSATION_NOT_FOUND");
    const none = await refusedWith(read(newUuid()), "CONVERSATION_NOT_FOUND");
    assert.equal(other.message, none.message);
  });
});
