import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { changeRow, type InboxRow, type RowChange, toInboxItem } from "./inbox-row.ts";

const userId = "ann";
const joined = (seq: bigint, unreadOrdinal: bigint): RowChange => ({
  kind: "joined",
  userId,
  seq,
  unreadOrdinal,
});
const left = (seq: bigint, unreadOrdinal: bigint): RowChange => ({
  kind: "left",
  userId,
  seq,
  messageId: seq * 10n,
  unreadOrdinal,
});
const read = (readSeq: bigint, readUnreadOrdinal: bigint): RowChange => ({
  kind: "read",
  userId,
  readSeq,
  readUnreadOrdinal,
});

function apply(...changes: readonly RowChange[]): InboxRow | undefined {
  return changes.reduce<InboxRow | undefined>(changeRow, undefined);
}

function item(row: InboxRow | undefined, seq: bigint, unreadOrdinal: bigint) {
  assert.ok(row !== undefined);
  return toInboxItem("c", row, { seq, messageId: seq * 10n, unreadOrdinal, offset: 0n });
}

test("what came before joining does not count as unread", () => {
  const { unreadCount, firstSeq, member } = item(apply(joined(7n, 5n)), 9n, 7n);
  assert.deepEqual(
    { unreadCount, firstSeq, member },
    { unreadCount: 2n, firstSeq: 7n, member: true },
  );
});

test("what came after leaving neither shows nor counts", () => {
  const shown = item(apply(joined(1n, 0n), read(2n, 1n), left(5n, 3n)), 20n, 18n);
  assert.equal(shown.unreadCount, 2n);
  assert.equal(shown.lastSeq, 5n);
  assert.equal(shown.lastMessageId, 50n);
  assert.equal(shown.member, false);
});

test("who comes back sees nothing of the time between as unread", () => {
  const shown = item(apply(joined(1n, 0n), left(5n, 3n), joined(9n, 6n)), 10n, 7n);
  assert.equal(shown.unreadCount, 1n);
  assert.equal(shown.firstSeq, 9n);
  assert.equal(shown.member, true);
});

test("a read position of somebody without a row is nothing", () => {
  assert.equal(changeRow(undefined, read(1n, 1n)), undefined);
});

test("an unread count is never negative", () => {
  assert.equal(item(apply(joined(1n, 0n), read(9n, 9n)), 3n, 2n).unreadCount, 0n);
});

test("changes that come again, also out of order, change nothing", () => {
  const step = fc.record({ away: fc.boolean(), readBack: fc.integer({ min: 0, max: 5 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.infiniteStream(fc.nat()), (steps, random) => {
      const changes: RowChange[] = [joined(1n, 0n)];
      let member = true;
      for (const [index, { away, readBack }] of steps.entries()) {
        const seq = BigInt(index + 2);
        if (away === member) {
          changes.push(member ? left(seq, seq - 1n) : joined(seq, seq - 1n));
          member = !member;
        } else {
          const position = seq - BigInt(Math.min(readBack, index + 1));
          changes.push(read(position, position - 1n));
        }
      }
      const row = apply(...changes);
      let again = row;
      for (let round = 0; round < changes.length; round++) {
        const change = changes[(random.next().value ?? 0) % changes.length];
        if (change !== undefined) again = changeRow(again, change);
      }
      assert.deepEqual(again, row);
    }),
    { numRuns: 300 },
  );
});
