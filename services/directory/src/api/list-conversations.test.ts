import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("ListConversations", () => {
  it("lists memberships, newest first, in pages that neither lose nor repeat one", async () => {
    await using fixture = await createConversationFixture();
    const [one = "", two = ""] = await fixture.addUsers(2);
    const created: string[] = [];
    for (let index = 0; index < 7; index++) {
      // Every second group has the same time as the one before: the id decides between them.
      if (index % 2 === 0) fixture.clock.advance(1000);
      created.push(await fixture.createGroup(one, [two]));
    }
    const [left = ""] = created.splice(3, 1);
    await fixture.as(two).leaveConversation({ conversationId: left });

    const listed: string[] = [];
    let times: bigint[] = [];
    for (let pageToken = ""; ; ) {
      const page = await fixture.as(two).listConversations({ pageSize: 2, pageToken });
      assert.ok(page.conversations.length <= 2);
      listed.push(...page.conversations.map(({ conversationId }) => conversationId));
      times = [...times, ...page.conversations.map((c) => c.createTime?.seconds ?? 0n)];
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    assert.deepEqual([...listed].sort(), [...created].sort());
    assert.deepEqual(
      times,
      times.toSorted((a, b) => Number(b - a)),
    );
  });

  it("puts who was added again to the front", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const first = await fixture.createGroup(owner, [one]);
    fixture.clock.advance(1000);
    const second = await fixture.createGroup(owner, [one]);
    fixture.clock.advance(1000);
    await fixture.as(one).leaveConversation({ conversationId: first });
    await fixture.as(owner).addMembers({ conversationId: first, userIds: [one] });
    const { conversations, nextPageToken } = await fixture.as(one).listConversations({});
    assert.deepEqual(
      conversations.map(({ conversationId }) => conversationId),
      [first, second],
    );
    assert.equal(nextPageToken, "");
  });

  it("names the other person of a direct conversation", async () => {
    await using fixture = await createConversationFixture();
    const [one = "", two = ""] = await fixture.addUsers(2);
    await fixture.as(one).openDirectConversation({ userId: two });
    const { conversations } = await fixture.as(two).listConversations({});
    assert.equal(conversations[0]?.peerUserId, one);
  });

  it("refuses a page token that is none", async () => {
    await using fixture = await createConversationFixture();
    const [one = ""] = await fixture.addUsers(1);
    for (const value of ["x", "[1]", '["a","b"]', "[1,2]", '[1,"not-a-uuid"]', "null"]) {
      const pageToken = Buffer.from(value).toString("base64url");
      await refusedWith(fixture.as(one).listConversations({ pageToken }), "INVALID_FIELD");
    }
  });
});
