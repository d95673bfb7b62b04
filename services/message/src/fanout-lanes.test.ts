import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  ConversationKind,
  EncryptionMode,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { FanoutEntrySchema } from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import { createManualClock } from "@parley/platform/clock";
import { createFanoutLanes, type LaneBatch } from "./fanout-lanes.ts";

function batch(conversationId: string, offsets: readonly number[], eventBytes = 10): LaneBatch {
  return {
    partition: 0,
    state: {
      conversationId,
      kind: ConversationKind.DIRECT,
      encryptionMode: EncryptionMode.SERVER_READABLE,
      directUserIds: [],
      lastSeq: 0,
      lastMessageId: 0n,
      lastProcessedOffset: 0,
      lastAppendTimeMs: 0,
      unreadOrdinal: 0,
      membershipVersion: 1,
      members: new Map(),
    },
    entries: offsets.map((offset) =>
      create(FanoutEntrySchema, { offset: BigInt(offset), event: new Uint8Array(eventBytes) }),
    ),
  };
}

const offsetsOf = ({ entries }: LaneBatch) => entries.map(({ offset }) => Number(offset));

/** Lanes whose sends are answered by hand. */
function openLanes(batchesOutMax = 10, batchesOutPerLaneMax = 10) {
  const clock = createManualClock();
  const sends: { batch: LaneBatch; resolve: () => void; reject: (error: Error) => void }[] = [];
  const sent: number[] = [];
  const failures: number[] = [];
  const lanes = createFanoutLanes({
    send: (each) =>
      new Promise<void>((resolve, reject) => sends.push({ batch: each, resolve, reject })),
    onSent: (each) => sent.push(...offsetsOf(each)),
    onFailed: (_batch, _error, attempt) => failures.push(attempt),
    clock,
    batchesOutMax,
    batchesOutPerLaneMax,
    random: () => 1,
  });
  const answer = async (at: number, error?: Error) => {
    const [send] = sends.splice(at, 1);
    if (error === undefined) send?.resolve();
    else send?.reject(error);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock, lanes, sends, sent, failures, answer };
}

const down = new Error("down");

describe("fan-out lanes", () => {
  it("send at once, also what comes before the answer to what went before", async () => {
    const { lanes, sends, sent, answer } = openLanes();
    lanes.add(batch("a", [1, 2]));
    lanes.add(batch("a", [3]));
    assert.deepEqual(
      sends.map((send) => offsetsOf(send.batch)),
      [[1, 2], [3]],
    );
    assert.equal(lanes.entries, 3);
    assert.equal(lanes.bytes, 30);
    await answer(0);
    await answer(0);
    assert.deepEqual(sent, [1, 2, 3]);
    assert.deepEqual([lanes.entries, lanes.bytes, lanes.lanes], [0, 0, 0]);
  });

  it("repeat what failed in order, after a pause, in front of what came since", async () => {
    const { lanes, sends, sent, failures, clock, answer } = openLanes();
    lanes.add(batch("a", [1]));
    lanes.add(batch("a", [2]));
    lanes.add(batch("a", [3]));
    await answer(1, down); // 2
    lanes.add(batch("a", [4]));
    assert.equal(sends.length, 2, "it waits for the answers that are out");
    await answer(1, down); // 3
    await answer(0); // 1
    assert.equal(sends.length, 0, "and then for a while");
    clock.advance(100);
    assert.deepEqual(
      sends.map((send) => offsetsOf(send.batch)),
      [[2, 3, 4]],
    );
    await answer(0);
    assert.deepEqual(sent, [1, 2, 3, 4]);
    assert.deepEqual(failures, [1, 1]);
    assert.equal(lanes.entries, 0);
  });

  it("wait longer each time, and hold up no other conversation", async () => {
    const { lanes, sends, clock, failures, sent, answer } = openLanes();
    lanes.add(batch("dead", [1]));
    for (let attempt = 1; attempt <= 8; attempt++) {
      await answer(0, down);
      lanes.add(batch("alive", [attempt * 10]));
      await answer(0);
      let waitedMs = 0;
      while (sends.length === 0) {
        clock.advance(25);
        waitedMs += 25;
      }
      assert.ok(waitedMs <= 5100 && waitedMs >= Math.min(50 * 2 ** (attempt - 1), 5000) - 50);
    }
    assert.deepEqual(failures, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert.deepEqual(sent, [10, 20, 30, 40, 50, 60, 70, 80]);
  });

  it("have no more batches out than they may, and go on in turn", async () => {
    const { lanes, sends, sent, answer } = openLanes(2);
    for (const [at, id] of ["a", "b", "c", "d"].entries()) lanes.add(batch(id, [at]));
    assert.equal(sends.length, 2);
    await answer(0);
    assert.equal(sends.length, 2);
    for (let at = 0; at < 3; at++) await answer(0);
    assert.deepEqual(sent, [0, 1, 2, 3]);
  });

  it("send one batch at a time of a conversation where a later one might overtake it", async () => {
    const { lanes, sends, sent, clock, answer } = openLanes(10, 1);
    lanes.add(batch("a", [1]));
    lanes.add(batch("a", [2]));
    lanes.add(batch("b", [10]));
    lanes.add(batch("a", [3]));
    const out = () => sends.map((send) => offsetsOf(send.batch));
    assert.deepEqual(out(), [[1], [10]]);
    await answer(0, down);
    assert.deepEqual(out(), [[10]], "nothing goes in front of what failed");
    clock.advance(100);
    assert.deepEqual(out(), [[10], [1, 2, 3]]);
    lanes.add(batch("a", [4]));
    lanes.add(batch("a", [5]));
    await answer(1);
    assert.deepEqual(out(), [[10], [4, 5]], "what came meanwhile travels together");
    await answer(1);
    await answer(0);
    assert.deepEqual(sent, [1, 2, 3, 4, 5, 10]);
    assert.equal(lanes.lanes, 0);
  });

  it("cut what is too much for one send", () => {
    const { lanes, sends } = openLanes();
    lanes.add(
      batch(
        "a",
        Array.from({ length: 300 }, (_, at) => at),
      ),
    );
    lanes.add(batch("b", [1, 2, 3], 300 * 1024));
    assert.deepEqual(
      sends.map((send) => send.batch.entries.length),
      [256, 44, 1, 1, 1],
    );
  });

  it("stop when they are disposed of", async () => {
    const { lanes, sends, clock, answer } = openLanes();
    lanes.add(batch("a", [1]));
    await answer(0, down);
    lanes[Symbol.dispose]();
    clock.advance(10_000);
    lanes.add(batch("b", [2]));
    assert.equal(sends.length, 0);
    assert.equal(clock.timerCount, 0);
  });
});
