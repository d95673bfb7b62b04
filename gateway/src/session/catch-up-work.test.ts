import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { TimelineSliceSchema } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { CatchUpWork, type Divergence } from "./catch-up-work.ts";

const slice = (conversationId: string, readThroughSeq: bigint, ...seqs: bigint[]) =>
  create(TimelineSliceSchema, {
    conversationId,
    entries: seqs.map((seq) => ({ seq, messageId: seq * 10n, event: new Uint8Array([1]) })),
    readThroughSeq,
  });

function start() {
  const work = new CatchUpWork({ headsWanted: false });
  const finished: [string, number][] = [];
  const admit = () =>
    work.admit(
      () => 0,
      (id, seq) => finished.push([id, seq]),
    );
  const diverged: Divergence[] = [];
  const accept = (...slices: ReturnType<typeof slice>[]) =>
    work.accept(slices, (one) => diverged.push(one));
  const takeAll = () => {
    const taken: string[] = [];
    for (let entry = work.take(false); entry !== undefined; entry = work.take(false)) {
      taken.push(`${entry.conversationId}/${entry.seq}`);
    }
    return taken;
  };
  return { work, admit, accept, takeAll, finished, diverged };
}

/** The entries above 5 are missing; the one at 5 is to be compared. */
const behind = (messageId: bigint) => ({
  afterSeq: 5,
  targetSeq: 7,
  check: { seq: 5, messageId, headSeq: 7 },
});
/** Nothing is missing of what the device has beyond its inbox. */
const ahead = { afterSeq: 5, targetSeq: 5, check: { seq: 5, messageId: 50n, headSeq: 3 } };

describe("catch-up work with positions to check", () => {
  it("reads one entry more, and does not hand that one out", () => {
    const { work, admit, accept, takeAll, finished, diverged } = start();
    work.add("a", behind(50n));
    admit();
    assert.deepEqual(work.ranges(), [{ conversationId: "a", afterSeq: 4n, lastSeq: 7n }]);
    assert.equal(accept(slice("a", 7n, 5n, 6n, 7n)), true);
    assert.deepEqual(takeAll(), ["a/6", "a/7"]);
    admit();
    assert.deepEqual(finished, [["a", 7]]);
    assert.deepEqual(diverged, []);
  });

  it("reads the entry by itself where a range in between is left out", () => {
    const { work, admit, accept, takeAll } = start();
    work.add("a", { ...behind(50n), afterSeq: 100, targetSeq: 101 });
    admit();
    assert.deepEqual(work.ranges(), [{ conversationId: "a", afterSeq: 4n, lastSeq: 5n }]);
    assert.equal(accept(slice("a", 5n, 5n)), true);
    assert.deepEqual(work.ranges(), [{ conversationId: "a", afterSeq: 100n, lastSeq: 101n }]);
    assert.equal(accept(slice("a", 101n, 101n)), true);
    assert.deepEqual(takeAll(), ["a/101"]);
  });

  it("hands out nothing of a conversation that diverged, and keeps its live events back", () => {
    const { work, admit, accept, takeAll, diverged } = start();
    work.add("a", behind(51n));
    work.add("b", behind(50n));
    work.raise("a", 8);
    admit();
    assert.equal(accept(slice("a", 7n, 5n, 6n, 7n), slice("b", 7n, 5n, 6n, 7n)), true);
    assert.deepEqual(takeAll(), ["b/6", "b/7"]);
    work.raise("a", 9);
    admit();
    assert.equal(work.finished, true);
    assert.deepEqual(work.held(), [["a", 9]]);
    assert.deepEqual(
      diverged.map(({ conversationId, verdict, storedSeq }) => [
        conversationId,
        verdict,
        storedSeq,
      ]),
      [["a", "other", 7]],
    );
  });

  it("asks again where an answer had no room, and believes it where nothing else was in it", () => {
    const { work, admit, accept, diverged } = start();
    work.add("a", behind(50n));
    work.add("b", ahead);
    work.add("c", ahead);
    admit();
    assert.equal(accept(slice("a", 7n, 5n, 6n, 7n), slice("b", 4n), slice("c", 4n)), true);
    assert.deepEqual(diverged, []);
    assert.deepEqual(
      work.ranges().map(({ conversationId }) => conversationId),
      ["b", "c"],
    );
    assert.equal(accept(slice("b", 4n), slice("c", 5n, 5n)), true);
    assert.deepEqual(
      diverged.map(({ conversationId, storedSeq }) => [conversationId, storedSeq]),
      [["b", 3]],
    );
  });

  it("gets no further while a timeline ends in front of what the inbox knows", () => {
    const { work, admit, accept, diverged } = start();
    work.add("a", behind(50n));
    admit();
    assert.equal(accept(slice("a", 4n)), false);
    assert.deepEqual(diverged, []);
  });

  it("reads what came live behind a device that was ahead of its inbox, and not what it has", () => {
    const { work, admit, accept, takeAll } = start();
    work.add("a", ahead);
    work.raise("a", 6);
    admit();
    assert.deepEqual(work.ranges(), [{ conversationId: "a", afterSeq: 4n, lastSeq: 6n }]);
    accept(slice("a", 6n, 5n, 6n));
    assert.deepEqual(takeAll(), ["a/6"]);
  });
});
