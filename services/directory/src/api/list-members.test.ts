import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

describe("ListMembers", () => {
  it("lists the owner, admins and members, each by join time, in pages", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", two = "", three = "", four = ""] = await fixture.addUsers(5);
    const conversationId = await fixture.createGroup(owner, [one]);
    for (const userId of [two, three, four]) {
      fixture.clock.advance(1000);
      await fixture.as(owner).addMembers({ conversationId, userIds: [userId] });
    }
    await fixture.as(owner).updateMemberRole({ conversationId, userId: four, role: Role.ADMIN });
    await fixture.as(owner).updateMemberRole({ conversationId, userId: two, role: Role.ADMIN });
    await fixture.as(three).leaveConversation({ conversationId });
    await fixture.as(owner).addMembers({ conversationId, userIds: [three] });

    const listed: string[] = [];
    const versions = new Set<bigint>();
    for (let pageToken = ""; ; ) {
      const page = await fixture.as(one).listMembers({ conversationId, pageSize: 1, pageToken });
      listed.push(...page.members.map(({ userId }) => userId));
      versions.add(page.membershipVersion);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    assert.deepEqual(listed, [owner, two, four, one, three]);
    assert.deepEqual(versions, new Set([8n]));
  });

  it("says at which version it was read, so that a change between pages shows", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, [one]);
    const first = await fixture.as(owner).listMembers({ conversationId, pageSize: 1 });
    await fixture.as(owner).removeMember({ conversationId, userId: one });
    const second = await fixture
      .as(owner)
      .listMembers({ conversationId, pageSize: 1, pageToken: first.nextPageToken });
    assert.equal(first.membershipVersion, 1n);
    assert.equal(second.membershipVersion, 2n);
    assert.deepEqual(second.members, []);
  });

  it("lists nothing to strangers and former members", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", stranger = ""] = await fixture.addUsers(3);
    const conversationId = await fixture.createGroup(owner, [one]);
    await fixture.as(one).leaveConversation({ conversationId });
    for (const userId of [one, stranger]) {
      await refusedWith(
        fixture.as(userId).listMembers({ conversationId }),
        "CONVERSATION_NOT_FOUND",
      );
    }
  });

  it("refuses a page token that is none", async () => {
    await using fixture = await createConversationFixture();
    const [owner = ""] = await fixture.addUsers(1);
    const conversationId = await fixture.createGroup(owner, []);
    const good = JSON.stringify([Role.ADMIN, 1, owner]);
    const encode = (text: string) => Buffer.from(text).toString("base64url");
    const read = (pageToken: string) =>
      fixture.as(owner).listMembers({ conversationId, pageToken });
    assert.deepEqual((await read(encode(good))).members, []);
    for (const value of ["", "[9,1,2]", `[1,"x","${owner}"]`, `[4,1,"${owner}"]`]) {
      await refusedWith(read(encode(value || "{")), "INVALID_FIELD");
    }
  });
});
