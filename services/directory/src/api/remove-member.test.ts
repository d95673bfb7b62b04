import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { ConversationChangeSchema, Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { newUuid } from "@parley/platform/ids";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

async function groupWithRoles() {
  const fixture = await createConversationFixture();
  const [owner = "", admin = "", other = "", one = "", two = ""] = await fixture.addUsers(5);
  const conversationId = await fixture.createGroup(owner, [admin, other, one, two]);
  for (const userId of [admin, other]) {
    await fixture.as(owner).updateMemberRole({ conversationId, userId, role: Role.ADMIN });
  }
  const remove = (actor: string, userId: string) =>
    fixture.as(actor).removeMember({ conversationId, userId });
  return { fixture, conversationId, owner, admin, other, one, two, remove };
}

describe("RemoveMember", () => {
  it("answers after the log has the removal", async () => {
    const { fixture, conversationId, admin, one, remove } = await groupWithRoles();
    await using _ = fixture;
    const { conversation } = await remove(admin, one);
    assert.equal(conversation?.memberCount, 4);
    assert.ok(!fixture.log.membersOf(conversationId).roles.has(one));
  });

  it("lets admins remove members, and the owner anybody else", async () => {
    const { fixture, owner, admin, other, one, two, remove } = await groupWithRoles();
    await using _ = fixture;
    await refusedWith(remove(one, two), "ROLE_INSUFFICIENT");
    await refusedWith(remove(one, newUuid()), "ROLE_INSUFFICIENT");
    await refusedWith(remove(admin, other), "ROLE_INSUFFICIENT");
    await refusedWith(remove(admin, owner), "ROLE_INSUFFICIENT");
    await remove(admin, two);
    await remove(owner, admin);
    await refusedWith(remove(admin, one), "CONVERSATION_NOT_FOUND");
    const self = await refusedWith(remove(owner, owner), "INVALID_FIELD");
    assert.equal(self.code, Code.InvalidArgument);
  });

  it("changes nothing when repeated, also for who never was a member", async () => {
    const { fixture, conversationId, owner, one, remove } = await groupWithRoles();
    await using _ = fixture;
    const first = await remove(owner, one);
    const second = await remove(owner, one);
    assert.equal(second.conversation?.membershipVersion, first.conversation?.membershipVersion);
    await remove(owner, newUuid());
    assert.equal(fixture.log.logs.get(conversationId)?.at(-1)?.change.case, "memberRemoved");
    assert.equal(
      BigInt(fixture.log.logs.get(conversationId)?.length ?? 0),
      first.conversation?.membershipVersion,
    );
  });

  it("refuses when the log has another history of the group, and goes on with other groups", async () => {
    const { fixture, conversationId, owner, one, two, remove } = await groupWithRoles();
    await using _ = fixture;
    const other = await fixture.createGroup(owner, [one]);
    // As after the directory's file was put back from an older copy: the log knows a later change.
    const { conversation } = await fixture.as(owner).getConversation({ conversationId });
    const membershipVersion = (conversation?.membershipVersion ?? 0n) + 1n;
    const change = { case: "titleChanged", value: { title: "Later" } } as const;
    const foreign = create(ConversationChangeSchema, {
      ...{ membershipVersion, actorUserId: owner, change },
    });
    fixture.log.applyForeign(conversationId, foreign);
    const refused = await refusedWith(remove(owner, one), "HISTORY_CONFLICT");
    assert.equal(refused.code, Code.FailedPrecondition);
    assert.ok(fixture.log.membersOf(conversationId).roles.has(one), "the log still has them");
    const arrivals = fixture.log.arrivals;
    await refusedWith(remove(owner, one), "HISTORY_CONFLICT");
    await refusedWith(remove(owner, two), "HISTORY_CONFLICT");
    assert.equal(fixture.log.arrivals, arrivals, "nothing more is tried");
    await fixture.as(owner).removeMember({ conversationId: other, userId: one });
    // The next process finds it out again.
    await fixture.restart();
    await refusedWith(
      fixture.as(owner).removeMember({ conversationId, userId: one }),
      "HISTORY_CONFLICT",
    );
  });

  it("succeeds when the log has the very same change: an attempt whose answer was lost", async () => {
    const { fixture, conversationId, owner, one, remove } = await groupWithRoles();
    await using _ = fixture;
    fixture.log.failNext("lost-answer", "broken-stream");
    await remove(owner, one);
    assert.ok(fixture.log.duplicates > 0);
    assert.ok(!fixture.log.membersOf(conversationId).roles.has(one));
  });

  it("says that the outcome is unknown while the log is away; the repetition waits for the change", async () => {
    const { fixture, conversationId, owner, one } = await groupWithRoles();
    await using _ = fixture;
    const arrivals = fixture.log.arrivals;
    const release = fixture.log.hold();
    const request = { conversationId, userId: one };
    const early = fixture.as(owner).removeMember(request, { timeoutMs: 600 });
    const unknown = await refusedWith(early, "OUTCOME_UNKNOWN");
    assert.equal(unknown.code, Code.Unavailable);

    let answered = false;
    const repeated = fixture.as(owner).removeMember(request);
    repeated.finally(() => (answered = true)).catch(() => undefined);
    await fixture.log.arrived(arrivals + 1);
    // The repetition has nothing to change; what it must not do is answer before the removal is applied.
    // Its statements run in order with these, and are far fewer.
    for (let index = 0; index < 30; index++) {
      await fixture.as(owner).getConversation({ conversationId });
    }
    assert.equal(answered, false);
    assert.ok(fixture.log.membersOf(conversationId).roles.has(one), "not applied yet");
    release();
    await repeated;
    assert.ok(!fixture.log.membersOf(conversationId).roles.has(one));
  });
});
