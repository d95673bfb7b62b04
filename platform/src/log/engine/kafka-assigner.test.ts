import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type AssignedMember, assignPartitions } from "./kafka-assigner.ts";

describe("assignPartitions", () => {
  test("one member gets everything", () => {
    assert.deepEqual(assigned([{ memberId: "a", owned: [] }], 4), { a: [0, 1, 2, 3] });
  });

  test("whoever joins takes only what makes it even", () => {
    const members = [
      { memberId: "a", owned: [0, 1, 2, 3, 4, 5] },
      { memberId: "b", owned: [] },
    ];
    assert.deepEqual(assigned(members, 6), { a: [0, 1, 2], b: [3, 4, 5] });
  });

  test("what a member that left had goes to the others, who keep theirs", () => {
    const members = [
      { memberId: "a", owned: [0, 3] },
      { memberId: "b", owned: [1, 4] },
    ];
    assert.deepEqual(assigned(members, 6), { a: [0, 2, 3], b: [1, 4, 5] });
  });

  test("a larger share stays with whoever has it", () => {
    const members = [
      { memberId: "a", owned: [0, 1] },
      { memberId: "b", owned: [2, 3, 4] },
    ];
    assert.deepEqual(assigned(members, 5), { a: [0, 1], b: [2, 3, 4] });
  });

  test("a partition that two claim is dealt out as if nobody had it", () => {
    const members = [
      { memberId: "a", owned: [0, 1] },
      { memberId: "b", owned: [1, 2] },
    ];
    const result = assigned(members, 4);
    assert.ok(result.a?.includes(0));
    assert.ok(result.b?.includes(2));
  });

  test("any members get every partition once, evenly, and keep all that evenness allows", () => {
    const members = fc
      .uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 })
      .chain((ids) =>
        fc.tuple(
          ...ids.map((memberId) =>
            fc.record({
              memberId: fc.constant(memberId),
              owned: fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 12 }),
            }),
          ),
        ),
      );
    fc.assert(
      fc.property(members, fc.integer({ min: 1, max: 16 }), (all, partitionCount) => {
        const result = assignPartitions(all, partitionCount);
        const dealt = [...result.values()].flat().sort((a, b) => a - b);
        assert.deepEqual(
          dealt,
          Array.from({ length: partitionCount }, (_, partition) => partition),
        );
        const sizes = [...result.values()].map((own) => own.length);
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
        const shareMin = Math.floor(partitionCount / all.length);
        for (const { memberId, owned } of all) {
          const others = all.filter((other) => other.memberId !== memberId);
          const undisputed = new Set(
            owned.filter(
              (partition) =>
                partition < partitionCount &&
                !others.some((other) => other.owned.includes(partition)),
            ),
          );
          const kept = (result.get(memberId) ?? []).filter((own) => undisputed.has(own)).length;
          assert.ok(kept >= Math.min(undisputed.size, shareMin), `${memberId} kept ${kept}`);
        }
        const reversed = assignPartitions([...all].reverse(), partitionCount);
        for (const [memberId, own] of result) assert.deepEqual(reversed.get(memberId), own);
      }),
    );
  });
});

function assigned(members: readonly AssignedMember[], partitionCount: number) {
  return Object.fromEntries(assignPartitions(members, partitionCount));
}
