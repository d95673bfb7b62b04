import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { findFirst } from "./find-first.ts";

async function find(first: number, last: number, sought: number) {
  let rounds = 0;
  const found = await findFirst(first, last, async (points) => {
    rounds++;
    assert.ok(points.length > 0 && points.length <= 15, `${points.length} points in a round`);
    for (const [at, point] of points.entries()) {
      assert.ok(point >= first && point <= last, `asked for ${point}`);
      assert.ok(at === 0 || point > (points[at - 1] ?? 0), "not in ascending order");
    }
    return points.map((point) => point >= sought);
  });
  return { found, rounds };
}

describe("findFirst", () => {
  it("finds what a look at each number finds", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 50 }),
        fc.integer({ min: -1, max: 20_000 }),
        fc.integer({ min: -10, max: 20_100 }),
        async (first, length, offset) => {
          const last = first + length;
          const sought = first + offset;
          const { found, rounds } = await find(first, last, sought);
          assert.equal(found, sought > last || length < 0 ? undefined : Math.max(first, sought));
          assert.ok(rounds <= 5, `${rounds} rounds`);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("needs two rounds for what is new", async () => {
    for (let back = 0; back < 30; back++) {
      const { found, rounds } = await find(0, 9_999, 9_999 - back);
      assert.equal(found, 9_999 - back);
      assert.ok(rounds <= 2, `${rounds} rounds for the one ${back} before the last`);
    }
  });
});
