/** What every adapter of the invite store and the outbox of changes does; run by each of them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newUuid } from "@parley/platform/ids";
import { runWithTraceContext } from "@parley/platform/telemetry/trace-context";
import type { ConversationSnapshot } from "./domain/conversation.ts";
import { admitNewInvite, admitToInvites } from "./domain/conversation-invite.ts";
import { joinByInvite } from "./domain/conversation-membership.ts";
import { updateTitle } from "./domain/conversation-settings.ts";
import {
  type ConversationStores,
  done,
  groupOf,
  inviteOf,
  MEMBERS_MAX,
  NOW_MS,
  people,
  requestOf,
} from "./testing/conversation-stores.ts";

/** Declares the suite. `open` gives stores that share nothing with those of other tests. */
export function describeInvitesAndOutbox(
  name: string,
  open: () => Promise<ConversationStores>,
): void {
  describe(`invite links on ${name}`, () => inviteContract(open));
  describe(`the outbox of changes on ${name}`, () => outboxContract(open));
}

function inviteContract(open: () => Promise<ConversationStores>): void {
  const openGroup = async () => {
    const stores = await open();
    const [owner = "", ...others] = people(11);
    const { conversationId } = done(
      await stores.conversations.createGroup(groupOf(owner, []), requestOf(owner)),
    );
    const make = async (useLimit = 0) => {
      const invite = inviteOf(conversationId, owner, useLimit);
      const made = await stores.invites.createInvite(invite, (snapshot, liveLinks) =>
        admitNewInvite(snapshot, { actorUserId: owner, liveLinks, linksMax: 5 }),
      );
      return { invite, made };
    };
    return { stores, owner, others, conversationId, make };
  };

  it("lets as many people in as the link is for, and counts only who came in", async () => {
    const { stores, others, conversationId, make } = await openGroup();
    await using _ = stores;
    const { invite } = await make(3);
    const join = (actorUserId: string) =>
      stores.invites.joinByInvite(invite.inviteCode, actorUserId, (snapshot, current) =>
        joinByInvite(snapshot, {
          actorUserId,
          invite: current,
          membersMax: MEMBERS_MAX,
          nowMs: NOW_MS,
        }),
      );
    const outcomes = await Promise.all([...others, ...others].map(join));
    const joined = outcomes.filter((outcome) => outcome.kind === "done" && outcome.changed);
    assert.equal(joined.length, 3);
    assert.equal((await stores.invites.readInvite(invite.inviteCode))?.useCount, 3);
    const members = await stores.conversations.filterMembers(conversationId, others);
    assert.equal(members.length, 3);
    const unknown = await stores.invites.joinByInvite("none", newUuid(), () =>
      assert.fail("asked"),
    );
    assert.deepEqual(unknown, { kind: "refused", refusal: { reason: "INVITE_NOT_FOUND" } });
  });

  it("tells how many links are live, also when they are made at once", async () => {
    const { stores, owner, conversationId, make } = await openGroup();
    await using _ = stores;
    const made = await Promise.all(Array.from({ length: 8 }, () => make()));
    assert.equal(made.filter((each) => each.made.kind === "created").length, 5);
    const admit = (snapshot: ConversationSnapshot) => admitToInvites(snapshot, owner);
    const live = async (nowMs: number) => {
      const listed = await stores.invites.listInvites(conversationId, owner, nowMs, admit);
      return listed.kind === "listed" ? listed.invites : assert.fail(listed.refusal.reason);
    };
    assert.equal((await live(NOW_MS)).length, 5);
    const ended = made.find((each) => each.made.kind === "created")?.invite.inviteCode ?? "";
    const { revokeInvite } = stores.invites;
    await revokeInvite(conversationId, owner, ended, admit);
    assert.ok(!(await live(NOW_MS)).some(({ inviteCode }) => inviteCode === ended));
    assert.equal((await make()).made.kind, "created");
    assert.deepEqual(await live(NOW_MS + 1000), [], "all have expired");
  });

  it("asks before every write, and writes nothing when refused", async () => {
    const { stores, others, conversationId, make } = await openGroup();
    await using _ = stores;
    const { invite } = await make();
    const [stranger = ""] = others;
    const admit = (snapshot: ConversationSnapshot) => admitToInvites(snapshot, stranger);
    const refused = { kind: "refused", refusal: { reason: "CONVERSATION_NOT_FOUND" } };
    const { createInvite, revokeInvite, listInvites, readInvite } = stores.invites;
    const code = invite.inviteCode;
    assert.deepEqual(await revokeInvite(conversationId, stranger, code, admit), refused);
    assert.deepEqual(await listInvites(conversationId, stranger, NOW_MS, admit), refused);
    const other = inviteOf(conversationId, stranger);
    assert.deepEqual(await createInvite(other, admit), refused);
    assert.equal(await readInvite(other.inviteCode), undefined);
    assert.deepEqual(await readInvite(code), invite);
    const nowhere = inviteOf(newUuid(), stranger);
    assert.deepEqual(await createInvite(nowhere, () => assert.fail("asked")), refused);
  });
}

function outboxContract(open: () => Promise<ConversationStores>): void {
  it("holds every change in order until it is deleted", async () => {
    await using stores = await open();
    const [owner = ""] = people(1);
    const { conversationId } = done(
      await stores.conversations.createGroup(groupOf(owner, []), requestOf(owner)),
    );
    for (const title of ["one", "two", "three"]) {
      await stores.conversations.change(conversationId, { userIds: [owner] }, (snapshot) =>
        updateTitle(snapshot, { actorUserId: owner, title, nowMs: NOW_MS }),
      );
    }
    const { readPending, deletePending } = stores.outbox;
    const versions = async (limit: number) =>
      (await readPending(conversationId, limit)).map((entry) => entry.membershipVersion);
    assert.deepEqual(await versions(10), [1, 2, 3, 4]);
    assert.deepEqual(await versions(2), [1, 2]);
    await deletePending(conversationId, 1);
    await deletePending(conversationId, 1);
    const [next] = await readPending(conversationId, 1);
    assert.equal(next?.change.membershipVersion, 2n);
    assert.equal(next.change.actorUserId, owner);
    assert.equal(next.change.change.case, "titleChanged");
    assert.equal(next.traceParent, "");
    assert.deepEqual(await versions(10), [2, 3, 4]);
  });

  it("carries the trace of the call that decided, if it is sampled", async () => {
    await using stores = await open();
    const [owner = ""] = people(1);
    const trace = { traceId: "a".repeat(32), spanId: "b".repeat(16), sampled: true };
    const create = () => stores.conversations.createGroup(groupOf(owner, []), requestOf(owner));
    const sampled = done(await runWithTraceContext(trace, create));
    const unsampled = done(await runWithTraceContext({ ...trace, sampled: false }, create));
    const traceOf = async (conversationId: string) =>
      (await stores.outbox.readPending(conversationId, 1))[0]?.traceParent;
    assert.equal(await traceOf(sampled.conversationId), `00-${trace.traceId}-${trace.spanId}-01`);
    assert.equal(await traceOf(unsampled.conversationId), "");
  });

  it("lists the conversations that have entries, in pages", async () => {
    await using stores = await open();
    const [owner = ""] = people(1);
    const ids: string[] = [];
    for (let index = 0; index < 5; index++) {
      const creation = groupOf(owner, []);
      await stores.conversations.createGroup(creation, requestOf(owner));
      ids.push(creation.conversation.conversationId);
    }
    ids.sort();
    await stores.outbox.deletePending(ids[1] ?? "", 1);
    const expected = ids.filter((_, index) => index !== 1);
    assert.deepEqual(await stores.outbox.listPending("", 3), expected.slice(0, 3));
    assert.deepEqual(await stores.outbox.listPending(expected[2] ?? "", 3), expected.slice(3));
  });
}
