import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { ConversationKind, Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("OpenDirectConversation", () => {
  it("creates the conversation of the pair, with both as members", async () => {
    await using fixture = await createConversationFixture();
    const [one = "", two = ""] = await fixture.addUsers(2);
    const { conversation } = await fixture.as(one).openDirectConversation({ userId: two });
    assert.equal(conversation?.kind, ConversationKind.DIRECT);
    assert.equal(conversation.peerUserId, two);
    assert.equal(conversation.ownRole, Role.MEMBER);
    assert.equal(conversation.memberCount, 2);
    assert.deepEqual(
      fixture.log.membersOf(conversation.conversationId).roles,
      new Map([one, two].sort().map((userId) => [userId, Role.MEMBER])),
    );
  });

  it("is one conversation, whoever opens it, also when both do at once", async () => {
    await using fixture = await createConversationFixture();
    const [one = "", two = ""] = await fixture.addUsers(2);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        index % 2 === 0
          ? fixture.as(one).openDirectConversation({ userId: two })
          : fixture.as(two).openDirectConversation({ userId: one }),
      ),
    );
    const ids = new Set(answers.map(({ conversation }) => conversation?.conversationId));
    assert.equal(ids.size, 1);
    assert.equal(fixture.log.logs.size, 1);
    const [changes = []] = [...fixture.log.logs.values()];
    assert.deepEqual(
      changes.map(({ change }) => change.case),
      ["created"],
    );
    const again = await fixture.as(two).openDirectConversation({ userId: one });
    assert.equal(again.conversation?.peerUserId, one);
  });

  it("is refused with oneself and with nobody", async () => {
    await using fixture = await createConversationFixture();
    const [one = ""] = await fixture.addUsers(1);
    const self = await refusedWith(
      fixture.as(one).openDirectConversation({ userId: one }),
      "INVALID_FIELD",
    );
    assert.equal(self.code, Code.InvalidArgument);
    await refusedWith(
      fixture.as(one).openDirectConversation({ userId: newUuid() }),
      "USER_NOT_FOUND",
    );
  });

  it("is refused by a block in either direction, unless it exists already", async () => {
    await using fixture = await createConversationFixture();
    const [one = "", two = "", three = ""] = await fixture.addUsers(3);
    await fixture.as(one).openDirectConversation({ userId: three });
    await fixture.people.block(one, two);
    await fixture.people.block(three, one);
    await refusedWith(fixture.as(one).openDirectConversation({ userId: two }), "BLOCKED");
    await refusedWith(fixture.as(two).openDirectConversation({ userId: one }), "BLOCKED");
    const { conversation } = await fixture.as(one).openDirectConversation({ userId: three });
    assert.equal(conversation?.peerUserId, three);
  });

  it("is either refused by a block that comes at the same time, or told of it", async () => {
    await using fixture = await createConversationFixture();
    for (let round = 0; round < 20; round++) {
      const [one = "", two = ""] = await fixture.addUsers(2);
      const blocking = async () => {
        await fixture.people.block(two, one);
        await fixture.conversations.setSendPermission(two, one, false);
      };
      const opening = fixture.as(one).openDirectConversation({ userId: two });
      const [opened] = await Promise.allSettled([opening, blocking()]);
      if (opened.status === "rejected") {
        assert.equal(reasonOf(opened.reason), "BLOCKED");
        continue;
      }
      const members = fixture.log.membersOf(opened.value.conversation?.conversationId ?? "");
      assert.deepEqual(members.silenced, new Set([one]));
    }
  });
});
