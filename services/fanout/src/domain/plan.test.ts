import assert from "node:assert/strict";
import { test } from "node:test";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { FanoutEntry } from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import fc from "fast-check";
import { createTestConversation, type TestConversation } from "../testing/test-entries.ts";
import { type Conversation, newerConversation } from "./conversation.ts";
import { changeRow, type InboxRow } from "./inbox-row.ts";
import { planEntries } from "./plan.ts";

const plan = (
  known: Conversation | undefined,
  { conversationId }: TestConversation,
  entries: readonly FanoutEntry[],
) =>
  planEntries(known, {
    conversationId,
    kind: ConversationKind.GROUP,
    entries,
    directUserIds: [],
  });

test("entries for the same people make one run", () => {
  const group = createTestConversation();
  const entries = [group.created(["ann", "bob"]), group.message("ann"), group.message("bob")];
  const { runs, conversation } = plan(undefined, group, entries);
  assert.equal(runs.length, 1);
  assert.equal(runs[0]?.userIds, conversation.members.userIds);
  assert.equal(conversation.head.seq, 3n);
  assert.equal(conversation.head.unreadOrdinal, 2n);
});

test("a removal splits the run, and the removed person gets it", () => {
  const group = createTestConversation();
  const entries = [
    group.created(["ann", "bob"]),
    group.message("ann"),
    group.removed("ann", "bob"),
    group.message("ann"),
  ];
  const { runs } = plan(undefined, group, entries);
  const told = runs.map(({ entries: of, userIds }) => [of.length, userIds.toSorted().join()]);
  assert.deepEqual(told, [
    [2, "ann,bob"],
    [1, "ann,bob"],
    [1, "ann"],
  ]);
});

test("a change without a place moves the version and is shown to nobody", () => {
  const group = createTestConversation();
  const { conversation } = plan(undefined, group, [group.created(["ann", "bob"])]);
  const hidden = group.change("ann", { case: "sendPermissionChanged", value: { userId: "bob" } });
  const { runs, conversation: after } = plan(conversation, group, [{ ...hidden, seq: 0n }]);
  assert.deepEqual(runs, []);
  assert.equal(after.members.version, 2n);
  assert.equal(after.head.seq, 1n);
});

test("who sends has read everything before; who changes something has not", () => {
  const group = createTestConversation();
  const { conversation } = plan(undefined, group, [group.created(["ann", "bob"])]);
  const entries = [group.message("ann"), group.message("ann"), group.added("bob", ["cid"])];
  const { rows } = plan(conversation, group, entries);
  assert.deepEqual(
    rows.filter(({ kind }) => kind === "read"),
    [{ kind: "read", userId: "ann", readSeq: 3n, readUnreadOrdinal: 2n }],
  );
});

test("the pair of a direct conversation belongs to it whatever comes first", () => {
  const pair = createTestConversation({ direct: ["ann", "bob"] });
  const { conversationId } = pair;
  pair.created(["ann", "bob"]);
  const known = planEntries(undefined, {
    conversationId,
    kind: ConversationKind.DIRECT,
    entries: [pair.message("ann")],
    directUserIds: ["ann", "bob"],
  });
  assert.deepEqual(known.conversation.members.userIds, ["ann", "bob"]);
  assert.deepEqual(
    known.rows.map(({ kind, userId }) => `${kind} ${userId}`),
    ["joined ann", "joined bob", "read ann"],
  );
});

type Step = { readonly kind: "message" | "add" | "remove" | "leave"; readonly user: number };
const anyStep: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("message", "message", "add", "remove", "leave"),
  user: fc.integer({ min: 1, max: 5 }),
});

/** A history that the message service could have made. */
function historyOf(group: TestConversation, steps: readonly Step[]): FanoutEntry[] {
  const there = new Set(["u0", "u1"]);
  const entries = [group.created([...there])];
  for (const { kind, user } of steps) {
    const userId = `u${user}`;
    if (kind === "message") entries.push(group.message(there.has(userId) ? userId : "u0"));
    else if (kind === "add" && !there.has(userId)) {
      there.add(userId);
      entries.push(group.added("u0", [userId]));
    } else if (kind !== "add" && there.has(userId)) {
      there.delete(userId);
      entries.push(kind === "leave" ? group.left(userId) : group.removed("u0", userId));
    }
  }
  return entries;
}

/** State as a store keeps it. */
function createState(group: TestConversation) {
  const rows = new Map<string, InboxRow>();
  const got = new Map<string, Set<bigint>>();
  let conversation: Conversation | undefined;
  return {
    rows,
    got,
    take(entries: readonly FanoutEntry[]) {
      const before = conversation;
      const planned = plan(conversation, group, entries);
      conversation = newerConversation(conversation, planned.conversation);
      for (const change of planned.rows) {
        const row = changeRow(rows.get(change.userId), change);
        if (row !== undefined) rows.set(change.userId, row);
      }
      for (const { entries: of, userIds } of planned.runs) {
        for (const userId of userIds) {
          const seqs = got.get(userId) ?? new Set();
          for (const { seq } of of) seqs.add(seq);
          got.set(userId, seqs);
        }
      }
      const { seq } = planned.conversation.head;
      assert.ok(seq >= (before?.head.seq ?? 0n), "a head went back");
      assert.ok(conversation.members.version >= (before?.members.version ?? 0n));
    },
    get conversation() {
      return conversation;
    },
  };
}

test("replays from anywhere, in any batches, give the same state and tell the same people", () => {
  const cut = fc.record({ back: fc.nat(), length: fc.integer({ min: 1, max: 8 }) });
  fc.assert(
    fc.property(
      fc.array(anyStep, { maxLength: 40 }),
      fc.array(cut, { maxLength: 30 }),
      (steps, cuts) => {
        const group = createTestConversation();
        const entries = historyOf(group, steps);
        const once = createState(group);
        for (const entry of entries) once.take([entry]);
        const replayed = createState(group);
        let done = 0;
        for (const { back, length } of cuts) {
          // A consumer that starts again does so at or before where it was.
          const start = done - (back % (done + 1));
          replayed.take(entries.slice(start, start + length));
          done = Math.max(done, Math.min(start + length, entries.length));
          if (start + length < done) replayed.take(entries.slice(start + length, done));
        }
        replayed.take(entries.slice(done));
        assert.deepEqual(replayed.conversation, once.conversation);
        assert.deepEqual(replayed.rows, once.rows);
        assert.deepEqual(replayed.got, once.got);
      },
    ),
    { numRuns: 500 },
  );
});

test("entries of a pair that step over some are noticed, whether the conversation is known or not", () => {
  const pair = createTestConversation({ direct: ["ann", "bob"] });
  const entries = [1, 2, 3, 4].map(() => pair.message("ann"));
  const planOf = (
    known: Conversation | undefined,
    from: number,
    kind: ConversationKind = ConversationKind.DIRECT,
  ) =>
    planEntries(known, {
      ...{ conversationId: pair.conversationId, kind, directUserIds: ["ann", "bob"] },
      entries: entries.slice(from),
    });
  const known = planOf(undefined, 0).conversation;
  const head = { ...known.head, seq: 2n };
  assert.equal(planOf(undefined, 0).missingSeq, undefined);
  assert.equal(planOf(undefined, 1).missingSeq, 1n);
  assert.equal(planOf({ ...known, head }, 2).missingSeq, undefined);
  assert.equal(planOf({ ...known, head }, 0).missingSeq, undefined, "they come again");
  assert.equal(planOf({ ...known, head }, 3).missingSeq, 3n);
  assert.equal(planOf({ ...known, head }, 4).missingSeq, undefined, "nothing comes");
  assert.equal(planOf({ ...known, head }, 3, ConversationKind.GROUP).missingSeq, undefined);
});

test("a change of a group that steps over others is noticed and applied", () => {
  const group = createTestConversation();
  const created = group.created(["ann", "bob"]);
  const [first, second, third] = [
    group.added("ann", ["cem"]),
    group.removed("ann", "bob"),
    group.added("ann", ["dan"]),
  ];
  const known = plan(undefined, group, [created]).conversation;
  const inOrder = plan(known, group, [first, second, third]);
  assert.equal(inOrder.missingVersion, undefined);
  assert.equal(
    plan(inOrder.conversation, group, [first, third]).missingVersion,
    undefined,
    "again",
  );
  const stepped = plan(known, group, [first, third]);
  assert.equal(stepped.missingVersion, 3n);
  assert.ok(stepped.conversation.members.userIds.includes("dan"));
  assert.equal(
    plan(undefined, group, [third]).missingVersion,
    undefined,
    "the log may begin there",
  );
});
