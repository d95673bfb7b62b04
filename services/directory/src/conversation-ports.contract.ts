/** What every adapter of the conversation store does; run by each of them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { newUuid } from "@parley/platform/ids";
import { refuse } from "./domain/conversation.ts";
import { leaveConversation } from "./domain/conversation-membership.ts";
import { updateMemberRole } from "./domain/conversation-settings.ts";
import {
  add,
  type ConversationStores,
  directOf,
  done,
  groupOf,
  NOW_MS,
  people,
  requestOf,
} from "./testing/conversation-stores.ts";

/** Declares the suite. `open` gives stores that share nothing with those of other tests. */
export function describeConversationStore(
  name: string,
  open: () => Promise<ConversationStores>,
): void {
  describe(`the conversation store on ${name}`, () => {
    describe("beginning", () => beginningContract(open));
    describe("changing", () => changingContract(open));
    describe("reading", () => readingContract(open));
  });
}

function beginningContract(open: () => Promise<ConversationStores>): void {
  it("writes a direct conversation once, however many calls come at once", async () => {
    await using stores = await open();
    const [one = "", two = ""] = people(2);
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        stores.conversations.createDirect(
          index % 2 === 0 ? directOf(one, two) : directOf(two, one),
        ),
      ),
    );
    assert.equal(outcomes.filter((outcome) => done(outcome).changed).length, 1);
    for (const outcome of outcomes) assert.equal(done(outcome).membershipVersion, 1);
    const { conversationId } = directOf(one, two).conversation;
    assert.equal((await stores.outbox.readPending(conversationId, 10)).length, 1);
    const view = await stores.conversations.read(conversationId, two);
    assert.deepEqual(view?.conversation, directOf(one, two).conversation);
    assert.deepEqual(view.membership, directOf(one, two).members[1]);
  });

  it("writes no direct conversation over a block, whoever blocks", async () => {
    await using stores = await open();
    const [one = "", two = ""] = people(2);
    await stores.block(two, one);
    const { conversationId } = directOf(one, two).conversation;
    for (const [actor, peer] of [
      [one, two],
      [two, one],
    ] as const) {
      const outcome = await stores.conversations.createDirect(directOf(actor, peer));
      const refusal = { reason: "BLOCKED", userIds: [peer] };
      assert.deepEqual(outcome, { kind: "refused", refusal });
    }
    assert.equal(await stores.conversations.read(conversationId, one), undefined);
    assert.deepEqual(await stores.outbox.listPending("", 10), []);
  });

  it("writes one group per request, however many calls come at once", async () => {
    await using stores = await open();
    const [owner = "", one = ""] = people(2);
    const request = requestOf(owner);
    assert.equal(await stores.conversations.findCreation(request), undefined);
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () =>
        stores.conversations.createGroup(groupOf(owner, [one]), request),
      ),
    );
    assert.equal(new Set(outcomes.map((outcome) => done(outcome).conversationId)).size, 1);
    assert.equal(outcomes.filter((outcome) => done(outcome).changed).length, 1);
    assert.equal((await stores.outbox.listPending("", 10)).length, 1, "the others left nothing");
    const found = await stores.conversations.findCreation(request);
    assert.deepEqual({ ...found, changed: true }, { ...outcomes[0], changed: true });
  });

  it("forgets requests from before the time that is given, and only those", async () => {
    await using stores = await open();
    const [owner = ""] = people(1);
    const request = requestOf(owner, NOW_MS);
    const first = done(await stores.conversations.createGroup(groupOf(owner, []), request));
    const second = done(await stores.conversations.createGroup(groupOf(owner, []), request));
    assert.equal(second.conversationId, first.conversationId);
    const later = { ...request, rememberedSinceMs: NOW_MS + 1 };
    assert.equal(await stores.conversations.findCreation(later), undefined);
    const creation = groupOf(owner, [], NOW_MS + 1);
    const third = done(await stores.conversations.createGroup(creation, later));
    assert.equal(third.conversationId, creation.conversation.conversationId);
  });

  it("keeps the requests of different people apart", async () => {
    await using stores = await open();
    const [one = "", two = ""] = people(2);
    const request = requestOf(one);
    const first = await stores.conversations.createGroup(groupOf(one, []), request);
    const other = { ...request, userId: two };
    const second = await stores.conversations.createGroup(groupOf(two, []), other);
    assert.notEqual(done(first).conversationId, done(second).conversationId);
  });
}

function changingContract(open: () => Promise<ConversationStores>): void {
  it("decides one after the other, so that no decision is made on an old snapshot", async () => {
    await using stores = await open();
    const [owner = "", ...others] = people(51);
    const { conversationId } = done(
      await stores.conversations.createGroup(groupOf(owner, []), requestOf(owner)),
    );
    const seen: number[] = [];
    await Promise.all(
      others.map((userId) =>
        stores.conversations.change(conversationId, { userIds: [owner, userId] }, (snapshot) => {
          seen.push(snapshot.conversation.memberCount);
          return add(owner, [userId])(snapshot);
        }),
      ),
    );
    assert.deepEqual(new Set(seen), new Set(Array.from({ length: 50 }, (_, index) => index + 1)));
    const entries = await stores.outbox.readPending(conversationId, 100);
    assert.deepEqual(
      entries.map((entry) => entry.membershipVersion),
      Array.from({ length: 51 }, (_, index) => index + 1),
    );
    const view = await stores.conversations.read(conversationId, owner);
    assert.equal(view?.conversation.memberCount, 51);
    assert.equal(view.conversation.membershipVersion, 51);
  });

  it("writes nothing when the decision is a refusal, changes nothing, or throws", async () => {
    await using stores = await open();
    const [owner = ""] = people(1);
    const creation = groupOf(owner, []);
    const { conversationId } = done(
      await stores.conversations.createGroup(creation, requestOf(owner)),
    );
    const reads = { userIds: [owner] };
    const refused = await stores.conversations.change(conversationId, reads, () =>
      refuse({ reason: "REMOVED" }),
    );
    assert.deepEqual(refused, { kind: "refused", refusal: { reason: "REMOVED" } });
    const unchanged = await stores.conversations.change(conversationId, reads, () => ({
      kind: "unchanged",
    }));
    assert.deepEqual(unchanged, {
      kind: "done",
      conversationId,
      membershipVersion: 1,
      changed: false,
    });
    const failing = stores.conversations.change(conversationId, reads, () => {
      throw new RangeError("a bug");
    });
    await assert.rejects(failing, RangeError);
    const view = await stores.conversations.read(conversationId, owner);
    assert.deepEqual(view?.conversation, creation.conversation);
    assert.equal((await stores.outbox.readPending(conversationId, 10)).length, 1);
  });

  it("does not ask about a conversation that does not exist", async () => {
    await using stores = await open();
    const outcome = await stores.conversations.change(newUuid(), { userIds: [newUuid()] }, () =>
      assert.fail("asked"),
    );
    assert.deepEqual(outcome, { kind: "refused", refusal: { reason: "CONVERSATION_NOT_FOUND" } });
  });

  it("tells the blocks between two people when it is about them", async () => {
    await using stores = await open();
    const [one = "", two = "", three = ""] = people(3);
    const { conversationId } = directOf(one, two).conversation;
    await stores.conversations.createDirect(directOf(one, two));
    await stores.block(one, two);
    await stores.block(three, two);
    const seen: unknown[] = [];
    await stores.conversations.changeByBlocks(conversationId, [two, one], (snapshot, blocks) => {
      seen.push([...snapshot.members.keys()].sort(), blocks);
      return { kind: "unchanged" };
    });
    assert.deepEqual(seen, [[one, two], [{ blockerUserId: one, blockedUserId: two }]]);
  });

  it("gives present and former members by name, and nobody else", async () => {
    await using stores = await open();
    const [owner = "", gone = "", other = "", stranger = ""] = people(4);
    const { conversationId } = done(
      await stores.conversations.createGroup(groupOf(owner, [gone, other]), requestOf(owner)),
    );
    await stores.conversations.change(conversationId, { userIds: [gone] }, (snapshot) =>
      leaveConversation(snapshot, { actorUserId: gone, nowMs: NOW_MS }),
    );
    await stores.conversations.change(
      conversationId,
      { userIds: [owner, gone, stranger] },
      (snapshot) => {
        assert.deepEqual([...snapshot.members.keys()].sort(), [owner, gone].sort());
        assert.equal(snapshot.members.get(gone)?.role, Role.UNSPECIFIED);
        assert.equal(snapshot.heir, undefined);
        return { kind: "unchanged" };
      },
    );
  });

  it("knows the heir: highest role, then longest service, never who leaves", async () => {
    await using stores = await open();
    const [owner = "", one = "", two = "", three = ""] = people(4);
    const { conversationId } = done(
      await stores.conversations.createGroup(groupOf(owner, [two]), requestOf(owner)),
    );
    const change = stores.conversations.change;
    await change(conversationId, { userIds: [owner, three, one] }, add(owner, [three, one]));
    const heir = async () => {
      let userId: string | undefined;
      const reads = { userIds: [owner], heirOf: owner };
      await change(conversationId, reads, (snapshot) => {
        userId = snapshot.heir?.userId;
        return { kind: "unchanged" };
      });
      return userId;
    };
    const promote = (userId: string) =>
      change(conversationId, { userIds: [owner, userId] }, (snapshot) =>
        updateMemberRole(snapshot, { actorUserId: owner, userId, role: Role.ADMIN, nowMs: NOW_MS }),
      );
    assert.equal(await heir(), two, "the member of the earliest version");
    await promote(three);
    assert.equal(await heir(), three, "the only admin");
    await promote(one);
    assert.equal(await heir(), one, "of two who came together, the smaller id");
  });
}

function readingContract(open: () => Promise<ConversationStores>): void {
  it("pages through a person's conversations, newest membership first", async () => {
    await using stores = await open();
    const [owner = "", other = ""] = people(2);
    const expected: { joinTimeMs: number; conversationId: string }[] = [];
    for (const joinTimeMs of [NOW_MS, NOW_MS + 2, NOW_MS + 1, NOW_MS + 2]) {
      const creation = groupOf(owner, [other], joinTimeMs);
      await stores.conversations.createGroup(creation, requestOf(owner));
      expected.push({ joinTimeMs, conversationId: creation.conversation.conversationId });
    }
    await stores.conversations.createGroup(groupOf(other, []), requestOf(other));
    expected.sort(
      (one, two) =>
        two.joinTimeMs - one.joinTimeMs || (one.conversationId < two.conversationId ? -1 : 1),
    );
    const listed: string[] = [];
    let after: (typeof expected)[number] | undefined;
    for (;;) {
      const page = await stores.conversations.listByMember(owner, { after, limit: 1 });
      const last = page.at(-1);
      if (last?.membership === undefined) break;
      const { conversationId } = last.conversation;
      listed.push(conversationId);
      after = { joinTimeMs: last.membership.joinTimeMs, conversationId };
    }
    assert.deepEqual(
      listed,
      expected.map(({ conversationId }) => conversationId),
    );
  });

  it("pages through members by role, then join version, then id", async () => {
    await using stores = await open();
    const [owner = "", one = "", two = "", three = "", stranger = ""] = people(5);
    const { conversationId } = done(
      await stores.conversations.createGroup(groupOf(owner, [three]), requestOf(owner)),
    );
    await stores.conversations.change(
      conversationId,
      { userIds: [owner, two, one] },
      add(owner, [two, one]),
    );
    const listed: string[] = [];
    let after: { role: 0 | 1 | 2 | 3; joinVersion: number; userId: string } | undefined;
    for (;;) {
      const page = { after, limit: 1 };
      const answer = await stores.conversations.listMembers(conversationId, stranger, page);
      assert.equal(answer?.view.membership, undefined);
      const last = answer?.members.at(-1);
      if (last === undefined) break;
      listed.push(last.userId);
      after = last;
    }
    assert.deepEqual(listed, [owner, three, one, two]);
    const none = await stores.conversations.listMembers(newUuid(), owner, {
      after: undefined,
      limit: 1,
    });
    assert.equal(none, undefined);
  });

  it("filters present members, and takes settings from nobody else", async () => {
    await using stores = await open();
    const [owner = "", gone = "", stranger = ""] = people(3);
    const { conversationId } = done(
      await stores.conversations.createGroup(groupOf(owner, [gone]), requestOf(owner)),
    );
    await stores.conversations.change(conversationId, { userIds: [gone] }, (snapshot) =>
      leaveConversation(snapshot, { actorUserId: gone, nowMs: NOW_MS }),
    );
    const { filterMembers, setMute, read } = stores.conversations;
    assert.deepEqual(await filterMembers(conversationId, [stranger, owner, gone, owner]), [owner]);
    assert.deepEqual(await filterMembers(conversationId, []), []);
    assert.equal(await setMute(conversationId, gone, NOW_MS), false);
    assert.equal(await setMute(conversationId, stranger, NOW_MS), false);
    for (const muteUntilTimeMs of [
      253_402_300_799_999,
      253_402_300_799_999,
      undefined,
      undefined,
    ]) {
      assert.equal(await setMute(conversationId, owner, muteUntilTimeMs), true);
      assert.equal((await read(conversationId, owner))?.muteUntilTimeMs, muteUntilTimeMs);
    }
  });
}
