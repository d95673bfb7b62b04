import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createDeferred } from "@parley/platform/async/deferred";
import { createManualClock } from "@parley/platform/clock";
import { reasonOf } from "@parley/platform/errors";
import type { LogPosition } from "@parley/platform/log/port";
import type { RecordOutcome } from "./batch-work.ts";
import { createOutcomeWaiters } from "./outcome-waiters.ts";

const accepted = (seq: number): RecordOutcome => ({
  kind: "accepted",
  seq,
  messageId: BigInt(seq),
  acceptTimeMs: 0,
  duplicate: false,
});

function open(waitersMax = 10) {
  const clock = createManualClock();
  const waiters = createOutcomeWaiters({ clock, waitersMax, timeoutMs: 1000 });
  waiters.open(0);
  return { clock, waiters };
}

const at = (offset: number) => (): Promise<LogPosition> =>
  Promise.resolve({ partition: 0, offset, appendTimeMs: 0 });

const reason = (expected: string) => (error: unknown) => {
  assert.equal(reasonOf(error), expected);
  return true;
};

describe("outcome waiters", () => {
  it("answer each waiter with its own record", async () => {
    const { waiters } = open();
    const [first, second] = [waiters.wait(0, at(4)), waiters.wait(0, at(6))];
    await new Promise((resolve) => setImmediate(resolve));
    waiters.settle(0, 3, [accepted(1), accepted(2), accepted(3), accepted(4)]);
    assert.deepEqual(await first, accepted(2));
    assert.deepEqual(await second, accepted(4));
    assert.equal(waiters.size, 0);
  });

  it("keep an outcome that comes before its append has returned", async () => {
    const { waiters } = open();
    const appended = createDeferred<LogPosition>();
    const waiting = waiters.wait(0, () => appended.promise);
    waiters.settle(0, 7, [accepted(1)]);
    appended.resolve({ partition: 0, offset: 7, appendTimeMs: 0 });
    assert.deepEqual(await waiting, accepted(1));
  });

  it("say that they do not know when an outcome has gone by", async () => {
    const { waiters } = open();
    waiters.settle(0, 0, [accepted(1)]);
    await assert.rejects(waiters.wait(0, at(0)), reason("OUTCOME_UNKNOWN"));
  });

  it("end when the partition moves away", async () => {
    const { waiters } = open();
    const waiting = waiters.wait(0, at(1));
    const appended = createDeferred<LogPosition>();
    const appending = waiters.wait(0, () => appended.promise);
    await new Promise((resolve) => setImmediate(resolve));
    waiters.close(0, "moved");
    appended.resolve({ partition: 0, offset: 2, appendTimeMs: 0 });
    await assert.rejects(waiting, reason("OUTCOME_UNKNOWN"));
    await assert.rejects(appending, reason("OUTCOME_UNKNOWN"));
    await assert.rejects(waiters.wait(0, at(3)), reason("NOT_OWNER"));
    assert.equal(waiters.isOpen(0), false);
    assert.equal(waiters.size, 0);
  });

  it("give up after their time, oldest first", async () => {
    const { waiters, clock } = open();
    const early = waiters.wait(0, at(1));
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(600);
    const late = waiters.wait(0, at(2));
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(500);
    waiters.sweep();
    await assert.rejects(early, reason("OUTCOME_UNKNOWN"));
    waiters.settle(0, 2, [accepted(9)]);
    assert.deepEqual(await late, accepted(9));
  });

  it("are idle when the last of them is answered, or the time is up", async () => {
    const { waiters } = open();
    await waiters.idle(AbortSignal.timeout(60_000));
    const held = waiters.hold();
    const waiting = waiters.wait(0, at(1));
    const stopping = new AbortController();
    const [given, idle] = [
      waiters.idle(stopping.signal),
      waiters.idle(AbortSignal.timeout(60_000)),
    ];
    stopping.abort();
    await given;
    let isIdle = false;
    idle.then(() => {
      isIdle = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    waiters.settle(0, 1, [accepted(1)]);
    await waiting;
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isIdle, false, "one is still being looked at");
    held[Symbol.dispose]();
    await idle;
    assert.equal(waiters.size, 0);
  });

  it("are bounded, and pass on what the log refuses", async () => {
    const { waiters } = open(1);
    const waiting = waiters.wait(0, at(1));
    let appended = false;
    const tooMany = waiters.wait(0, () => {
      appended = true;
      return at(2)();
    });
    await assert.rejects(tooMany, reason("TOO_MANY_APPENDS"));
    assert.equal(appended, false, "nothing was written");
    waiters.settle(0, 1, [accepted(1)]);
    await waiting;
    const broken = new Error("the log is closed");
    await assert.rejects(
      waiters.wait(0, () => Promise.reject(broken)),
      broken,
    );
    assert.equal(waiters.size, 0);
  });
});
