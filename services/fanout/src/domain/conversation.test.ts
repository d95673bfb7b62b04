import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  changeMembers,
  DEPARTED_MAX,
  type Members,
  NO_MEMBERS,
  recipientsAt,
} from "./conversation.ts";

const join = (members: Members, seq: bigint, ...joined: string[]) =>
  changeMembers(members, { version: members.version + 1n, seq, joined, left: [] });
const leave = (members: Members, seq: bigint, ...left: string[]) =>
  changeMembers(members, { version: members.version + 1n, seq, joined: [], left });

test("after the last change everybody shares one array", () => {
  const members = join(NO_MEMBERS, 1n, "ann", "bob");
  assert.equal(recipientsAt(members, 1n), members.userIds);
  assert.equal(recipientsAt(members, 2n), members.userIds);
});

test("a removed person gets their removal and nothing after it", () => {
  const members = leave(join(NO_MEMBERS, 1n, "ann", "bob"), 5n, "bob");
  assert.deepEqual(recipientsAt(members, 4n).toSorted(), ["ann", "bob"]);
  assert.deepEqual(recipientsAt(members, 5n).toSorted(), ["ann", "bob"]);
  assert.deepEqual(recipientsAt(members, 6n), ["ann"]);
});

test("an added person gets the entry of their joining and nothing before it", () => {
  const members = join(join(NO_MEMBERS, 1n, "ann"), 5n, "bob");
  assert.deepEqual(recipientsAt(members, 4n), ["ann"]);
  assert.deepEqual(recipientsAt(members, 5n).toSorted(), ["ann", "bob"]);
});

test("who joins twice or leaves without being there changes nothing", () => {
  const members = join(NO_MEMBERS, 1n, "ann");
  const again = join(members, 2n, "ann");
  assert.equal(again.userIds, members.userIds);
  assert.equal(again.version, 2n);
  assert.equal(leave(again, 3n, "bob").changedSeq, 1n);
});

test("departures are remembered up to a bound", () => {
  let members = NO_MEMBERS;
  for (let round = 0; round < DEPARTED_MAX + 10; round++) {
    members = leave(
      join(members, BigInt(round * 2 + 1), `u${round}`),
      BigInt(round * 2 + 2),
      `u${round}`,
    );
  }
  assert.equal(members.departed.length, DEPARTED_MAX);
  assert.equal(members.departed.at(-1)?.userId, `u${DEPARTED_MAX + 9}`);
});

test("recipients are those whose membership the entry falls into, whenever one asks", () => {
  const step = fc.record({ user: fc.integer({ min: 0, max: 4 }), joins: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let members = NO_MEMBERS;
      const there = new Set<string>();
      const expected = new Map<bigint, string[]>();
      for (const [index, { user, joins }] of steps.entries()) {
        const seq = BigInt(index + 1);
        const userId = `u${user}`;
        const before = [...there];
        members = joins ? join(members, seq, userId) : leave(members, seq, userId);
        if (joins) there.add(userId);
        else there.delete(userId);
        // Who leaves by an entry still gets it.
        expected.set(seq, [...new Set([...before, ...there])].toSorted());
        assert.deepEqual(recipientsAt(members, seq).toSorted(), expected.get(seq));
      }
      for (const [seq, userIds] of expected) {
        assert.deepEqual(recipientsAt(members, seq).toSorted(), userIds);
      }
    }),
    { numRuns: 300 },
  );
});
