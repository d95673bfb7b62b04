import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import fc from "fast-check";
import {
  type ConversationFixture,
  createConversationFixture,
} from "./testing/conversation-fixture.ts";
import type { AppendFault } from "./testing/memory-append-service.ts";
import { refusedWith } from "./testing/refusals.ts";

describe("setSendPermission", () => {
  it("keeps the blocked person from writing, and lets them write again", async () => {
    await using fixture = await createConversationFixture();
    const [one = "", two = ""] = await fixture.addUsers(2);
    const { conversation } = await fixture.as(one).openDirectConversation({ userId: two });
    const conversationId = conversation?.conversationId ?? "";
    const members = fixture.log.membersOf(conversationId);
    const { setSendPermission } = fixture.conversations;

    await fixture.people.block(one, two);
    await setSendPermission(one, two, false);
    await setSendPermission(one, two, false);
    assert.deepEqual(members.silenced, new Set([two]));
    assert.equal(members.membershipVersion, 2, "a repetition changes nothing");
    assert.equal(fixture.log.logs.get(conversationId)?.at(-1)?.actorUserId, one);

    await fixture.people.block(two, one);
    await setSendPermission(two, one, false);
    await fixture.people.unblock(one, two);
    await setSendPermission(one, two, true);
    assert.deepEqual(members.silenced, new Set([one]));
    assert.equal(members.membershipVersion, 4);
  });

  it("does nothing where there is no direct conversation", async () => {
    await using fixture = await createConversationFixture();
    const [one = "", two = ""] = await fixture.addUsers(2);
    await fixture.createGroup(one, [two]);
    const { arrivals } = fixture.log;
    await fixture.people.block(one, two);
    await fixture.conversations.setSendPermission(one, two, false);
    assert.equal(fixture.log.arrivals, arrivals);
  });

  it("ends as the blocks are, however often somebody changes their mind at once", async () => {
    await using fixture = await createConversationFixture();
    const [one = "", two = ""] = await fixture.addUsers(2);
    const { conversation } = await fixture.as(one).openDirectConversation({ userId: two });
    const calls: Promise<void>[] = [];
    for (let index = 0; index < 21; index++) {
      const blocked = index % 2 === 0;
      if (blocked) await fixture.people.block(one, two);
      else await fixture.people.unblock(one, two);
      calls.push(fixture.conversations.setSendPermission(one, two, !blocked));
    }
    await Promise.all(calls);
    const members = fixture.log.membersOf(conversation?.conversationId ?? "");
    assert.deepEqual(members.silenced, new Set([two]));
  });

  it("says that the outcome is unknown while the log is away, and is applied later", async () => {
    await using fixture = await createConversationFixture({ applyWaitMaxMs: 100 });
    const [one = "", two = ""] = await fixture.addUsers(2);
    const { conversation } = await fixture.as(one).openDirectConversation({ userId: two });
    const release = fixture.log.hold();
    await fixture.people.block(one, two);
    const setting = fixture.conversations.setSendPermission(one, two, false);
    await refusedWith(setting, "OUTCOME_UNKNOWN");
    release();
    await fixture.log.applied(conversation?.conversationId ?? "", 2);
  });
});

describe("sharedMembers", () => {
  it("gives those who are in the group with the viewer", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = "", gone = "", stranger = ""] = await fixture.addUsers(4);
    const group = await fixture.createGroup(owner, [one, gone]);
    await fixture.as(gone).leaveConversation({ conversationId: group });
    const { sharedMembers } = fixture.conversations;
    const everybody = [owner, one, gone, stranger];
    assert.deepEqual((await sharedMembers(group, one, everybody)).sort(), [owner, one].sort());
    assert.deepEqual(await sharedMembers(group, gone, everybody), []);
    assert.deepEqual(await sharedMembers(group, stranger, everybody), []);
    assert.deepEqual(await sharedMembers(newUuid(), one, everybody), []);
    const { conversation } = await fixture.as(one).openDirectConversation({ userId: owner });
    const direct = conversation?.conversationId ?? "";
    assert.deepEqual(await sharedMembers(direct, one, [owner]), [], "no group");
  });
});

describe("a process that dies between the decision and the log", () => {
  it("leaves a change that the next process brings in, once", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, [one]);
    const { arrivals } = fixture.log;
    fixture.log.failNext(...Array.from({ length: 100 }, (): AppendFault => "unavailable"));
    const request = { conversationId, userId: one };
    const removing = fixture.as(owner).removeMember(request);
    const refused = refusedWith(removing, "OUTCOME_UNKNOWN");
    await fixture.log.arrived(arrivals + 2);
    fixture.log.heal();
    assert.ok(fixture.log.membersOf(conversationId).roles.has(one), "not applied");
    await fixture.restart();
    await refused;
    await fixture.log.applied(conversationId, 2);
    await fixture.as(owner).removeMember(request);
    assert.ok(!fixture.log.membersOf(conversationId).roles.has(one));
    assert.equal(fixture.log.logs.get(conversationId)?.length, 2);
    const pending = await fixture.db.selectFrom("conversation_outbox").selectAll().execute();
    assert.deepEqual(pending, []);
  });

  it("brings in again what the log took without the answer arriving; the log knows it", async () => {
    await using fixture = await createConversationFixture();
    const [owner = ""] = await fixture.addUsers(1);
    const requestId = newUuid();
    const request = { requestId, title: "Once", userIds: [] };
    const release = fixture.log.hold();
    const refused = refusedWith(fixture.as(owner).createGroup(request), "OUTCOME_UNKNOWN");
    await fixture.log.arrived(1);
    await fixture.restart();
    await refused;
    await fixture.log.arrived(2);
    release();
    const { conversation } = await fixture.as(owner).createGroup(request);
    assert.equal(fixture.log.logs.size, 1);
    assert.equal(fixture.log.logs.get(conversation?.conversationId ?? "")?.length, 1);
    assert.equal(fixture.log.duplicates, 1);
  });
});

/** One random action of one random person; refusals are part of the game. */
type Action = { readonly kind: number; readonly actor: number; readonly target: number };

async function act(fixture: ConversationFixture, users: string[], id: string, action: Action) {
  const actor = fixture.as(users[action.actor] ?? "");
  const userId = users[action.target] ?? "";
  const conversationId = id;
  const roles = [Role.MEMBER, Role.ADMIN, Role.OWNER] as const;
  switch (action.kind) {
    case 0:
      return await actor.addMembers({ conversationId, userIds: [userId] });
    case 1:
      return await actor.removeMember({ conversationId, userId });
    case 2:
      return await actor.leaveConversation({ conversationId });
    case 3:
      return await actor.updateTitle({ conversationId, title: `title ${action.target}` });
    default: {
      const role = roles[action.kind % roles.length] ?? Role.MEMBER;
      return await actor.updateMemberRole({ conversationId, userId, role });
    }
  }
}

describe("many people changing one group at once, over a log with faults", () => {
  it("ends with a log that says what the directory says", async () => {
    await using fixture = await createConversationFixture({ groupMembersMax: 5 });
    const action = fc.record({
      kind: fc.integer({ min: 0, max: 6 }),
      actor: fc.integer({ min: 0, max: 6 }),
      target: fc.integer({ min: 0, max: 6 }),
    });
    const fault = fc.constantFrom<AppendFault>("unavailable", "lost-answer", "broken-stream");
    await fc.assert(
      fc.asyncProperty(
        fc.array(action, { maxLength: 40 }),
        fc.array(fault, { maxLength: 3 }),
        async (actions, faults) => {
          const users = await fixture.addUsers(7);
          const [owner = "", ...others] = users;
          const conversationId = await fixture.createGroup(owner, others.slice(0, 3));
          fixture.log.failNext(...faults);
          const results = await Promise.allSettled(
            actions.map((each) => act(fixture, users, conversationId, each)),
          );
          fixture.log.heal();
          for (const result of results) {
            if (result.status === "rejected") assertRefusal(result.reason);
          }
          await checkAgreement(fixture, conversationId);
        },
      ),
      { numRuns: 25 },
    );
  });
});

const EXPECTED_REFUSALS = new Set([
  "CONVERSATION_NOT_FOUND",
  "GROUP_FULL",
  "INVALID_FIELD",
  "MEMBER_NOT_FOUND",
  "ROLE_INSUFFICIENT",
]);

function assertRefusal(error: unknown): void {
  const reason = reasonOf(error);
  if (reason === undefined || !EXPECTED_REFUSALS.has(reason)) throw error;
}

async function checkAgreement(fixture: ConversationFixture, conversationId: string): Promise<void> {
  const rows = await fixture.db
    .selectFrom("conversation_members")
    .select(["user_id", "role"])
    .where("conversation_id", "=", conversationId)
    .where("role", ">", 0)
    .execute();
  const conversation = await fixture.db
    .selectFrom("conversations")
    .selectAll()
    .where("conversation_id", "=", conversationId)
    .executeTakeFirstOrThrow();
  const known = fixture.log.membersOf(conversationId);
  const byUser = (entries: Iterable<readonly [string, number]>) => new Map([...entries].sort());
  assert.deepEqual(byUser(known.roles), byUser(rows.map((row) => [row.user_id, row.role])));
  assert.equal(known.membershipVersion, conversation.membership_version);
  assert.equal(known.title, conversation.title);
  assert.equal(rows.length, conversation.member_count);
  assert.ok(rows.length <= 5);
  const owners = rows.filter((row) => row.role === Role.OWNER);
  assert.equal(owners.length, rows.length === 0 ? 0 : 1);
}
