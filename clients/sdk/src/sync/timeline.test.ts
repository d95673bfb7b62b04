import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { addRange, rangeAt, removeRange } from "./ranges.ts";
import {
  createTimeline,
  fillGap,
  gapOf,
  noteSeen,
  noteSkipped,
  offer,
  rewind,
  takeReady,
  WAITING_ENTRIES_MAX,
} from "./timeline.ts";

const e = (seq: number) => ({ seq: BigInt(seq), messageId: BigInt(seq) + 1_000n });
const r = (first: number, last: number) => ({ first: BigInt(first), last: BigInt(last) });
const seqs = (entries: readonly { readonly seq: bigint }[]) =>
  entries.map(({ seq }) => Number(seq));

describe("ranges", () => {
  it("behave as sets of numbers", () => {
    const range = fc.tuple(fc.nat(30), fc.nat(10)).map(([first, size]) => r(first, first + size));
    const step = fc.record({ add: fc.boolean(), range });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        let ranges: ReturnType<typeof addRange> = [];
        const set = new Set<bigint>();
        for (const {
          add,
          range: { first, last },
        } of steps) {
          ranges = add ? addRange(ranges, { first, last }) : removeRange(ranges, { first, last });
          for (let seq = first; seq <= last; seq++) add ? set.add(seq) : set.delete(seq);
        }
        for (let seq = 0n; seq < 50n; seq++) {
          assert.equal(rangeAt(ranges, seq) !== undefined, set.has(seq));
        }
        for (const [index, { first, last }] of ranges.entries()) {
          assert.ok(first <= last);
          const next = ranges[index + 1];
          assert.ok(next === undefined || next.first > last + 1n, "ascending and not touching");
        }
      }),
    );
  });
});

describe("a timeline", () => {
  it("shows entries in order, each once", () => {
    const timeline = createTimeline(10n);
    assert.equal(offer(timeline, e(10)), false);
    assert.equal(offer(timeline, e(12)), true);
    assert.equal(offer(timeline, e(12)), false);
    assert.deepEqual(takeReady(timeline), []);
    assert.deepEqual(gapOf(timeline), r(11, 11));
    offer(timeline, e(11));
    assert.deepEqual(seqs(takeReady(timeline)), [11, 12]);
    assert.equal(gapOf(timeline), undefined);
  });

  it("passes over what catch-up left out, and remembers it", () => {
    const timeline = createTimeline();
    offer(timeline, e(51));
    noteSkipped(timeline, r(1, 50));
    assert.deepEqual(seqs(takeReady(timeline)), [51]);
    assert.deepEqual(timeline.holes, [r(1, 50)]);
    assert.equal(timeline.position, 51n);
  });

  it("passes over what the person may not read", () => {
    const timeline = createTimeline(3n);
    offer(timeline, e(9));
    assert.deepEqual(gapOf(timeline), r(4, 8));
    fillGap(timeline, [e(8)]);
    assert.deepEqual(seqs(takeReady(timeline)), [8, 9]);
    assert.deepEqual(timeline.holes, []);
  });

  it("asks for an entry that is known to exist only", () => {
    const timeline = createTimeline(3n);
    noteSeen(timeline, 5n);
    assert.deepEqual(gapOf(timeline), r(4, 5));
    fillGap(timeline, [e(4), e(5)]);
    assert.deepEqual(seqs(takeReady(timeline)), [4, 5]);
    assert.equal(gapOf(timeline), undefined);
  });

  it("knows the id of the entry at its position, where that entry was shown", () => {
    const timeline = createTimeline<ReturnType<typeof e>>(3n, [], 77n);
    assert.equal(timeline.messageId, 77n);
    offer(timeline, e(4));
    takeReady(timeline);
    assert.deepEqual([timeline.position, timeline.messageId], [4n, 1_004n]);
    noteSkipped(timeline, r(5, 9));
    takeReady(timeline);
    assert.deepEqual([timeline.position, timeline.messageId], [9n, 0n]);
    offer(timeline, e(10));
    takeReady(timeline);
    fillGap(timeline, [e(15)]);
    assert.deepEqual([timeline.position, timeline.messageId], [14n, 0n]);
  });

  it("goes back to an entry, and knows nothing beyond it", () => {
    const timeline = createTimeline<ReturnType<typeof e>>(40n, [r(1, 5), r(20, 35)], 1_040n);
    offer(timeline, e(45));
    noteSkipped(timeline, r(42, 43));
    rewind(timeline, e(30));
    assert.deepEqual([timeline.position, timeline.messageId], [30n, 1_030n]);
    assert.deepEqual(timeline.holes, [r(1, 5), r(20, 30)]);
    assert.equal(gapOf(timeline), undefined);
    offer(timeline, e(31));
    assert.deepEqual(seqs(takeReady(timeline)), [31]);
  });

  it("holds a bounded number of entries back, and asks for the rest later", () => {
    const timeline = createTimeline();
    for (let seq = 2; seq < WAITING_ENTRIES_MAX + 100; seq++) offer(timeline, e(seq));
    assert.equal(timeline.waiting.size, WAITING_ENTRIES_MAX);
    offer(timeline, e(1));
    takeReady(timeline);
    assert.deepEqual(gapOf(timeline), r(WAITING_ENTRIES_MAX + 2, WAITING_ENTRIES_MAX + 99));
  });

  it("shows everything readable once and in order, whatever comes when", () => {
    const LAST = 40;
    const scenario = fc.record({
      // What the person may read: entries up to LAST without these.
      unreadable: fc.array(fc.tuple(fc.integer({ min: 1, max: LAST }), fc.nat(6)), {
        maxLength: 3,
      }),
      skipped: fc.integer({ min: 0, max: 20 }),
      order: fc.shuffledSubarray(
        Array.from({ length: LAST * 2 }, (_, index) => (index % LAST) + 1),
        { minLength: 0 },
      ),
      page: fc.integer({ min: 1, max: 7 }),
    });
    fc.assert(
      fc.property(scenario, ({ unreadable, skipped, order, page }) => {
        const hidden = (seq: number) =>
          unreadable.some(([first, size]) => first <= seq && seq <= first + size);
        const readable = Array.from({ length: LAST }, (_, index) => index + 1).filter(
          (s) => !hidden(s),
        );
        const timeline = createTimeline();
        const shownSeqs: number[] = [];
        const show = () => shownSeqs.push(...seqs(takeReady(timeline)));
        // Catch-up leaves the first entries out, as one range per readable stretch.
        const left = readable.slice(0, skipped);
        const leftSet = new Set(left);
        for (const seq of left) noteSkipped(timeline, r(seq, seq));
        for (const seq of order) {
          if (hidden(seq) || leftSet.has(seq)) continue;
          offer(timeline, e(seq));
          show();
        }
        noteSeen(timeline, BigInt(readable.at(-1) ?? 0));
        show();
        for (let reads = 0; ; reads++) {
          const gap = gapOf(timeline);
          if (!gap) break;
          assert.ok(reads < 200, "reading comes to an end");
          const position = Number(timeline.position);
          fillGap(
            timeline,
            readable
              .filter((seq) => seq > position)
              .slice(0, page)
              .map(e),
          );
          show();
        }
        // What was skipped may be read along the way; everything else is shown, all in order and once.
        assert.deepEqual(
          shownSeqs,
          [...new Set(shownSeqs)].sort((a, b) => a - b),
        );
        const holes = timeline.holes.flatMap(({ first, last }) =>
          Array.from({ length: Number(last - first) + 1 }, (_, index) => Number(first) + index),
        );
        assert.deepEqual(
          [...shownSeqs, ...holes].sort((a, b) => a - b),
          readable,
        );
      }),
      { numRuns: 1_000 },
    );
  });
});
