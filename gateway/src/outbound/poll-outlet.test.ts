import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import { createGoodbye, goodbyeFrame } from "../session/goodbye.ts";
import { doneFrame } from "../session/server-frames.ts";
import { PollOutlet, type PollWait } from "./poll-outlet.ts";

const signal = new AbortController().signal;
const ask = (given: Partial<PollWait> = {}): PollWait => ({
  acknowledgedCursor: 0,
  framesMax: 100,
  bytesMax: 1024 * 1024,
  waitMs: 0,
  json: false,
  signal,
  ...given,
});
const create = () =>
  new PollOutlet({ queueBytesMax: 1024, wire: () => ({ bytesIn: 0, bytesOut: 0 }) });
const idsOf = ({ frames }: { frames: readonly { requestId: bigint }[] }) =>
  frames.map(({ requestId }) => Number(requestId));

describe("PollOutlet", () => {
  it("shows frames again until they are acknowledged", async () => {
    const outlet = create();
    for (let id = 1n; id <= 5n; id++) outlet.frame(doneFrame(id));
    const first = await outlet.poll(ask({ framesMax: 3 }));
    assert.deepEqual([idsOf(first), first.cursor], [[1, 2, 3], 3]);
    assert.deepEqual(idsOf(await outlet.poll(ask({ framesMax: 3 }))), [1, 2, 3]);
    const second = await outlet.poll(ask({ acknowledgedCursor: 3 }));
    assert.deepEqual([idsOf(second), second.cursor], [[4, 5], 5]);
    const stale = await outlet.poll(ask({ acknowledgedCursor: 1 }));
    assert.deepEqual(idsOf(stale), [4, 5], "an older cursor brings nothing back");
    assert.deepEqual(idsOf(await outlet.poll(ask({ acknowledgedCursor: 5 }))), []);
  });

  it("waits for the first frame, and answers what comes with it", async () => {
    const outlet = create();
    const waiting = outlet.poll(ask({ waitMs: 30_000 }));
    outlet.frame(doneFrame(1n));
    outlet.frame(doneFrame(2n));
    assert.deepEqual(idsOf(await waiting), [1, 2]);
  });

  it("ends a wait for a newer poll, for the end, and when the caller leaves", async () => {
    const outlet = create();
    const older = outlet.poll(ask({ waitMs: 30_000 }));
    const leaving = new AbortController();
    const newer = outlet.poll(ask({ waitMs: 30_000, signal: leaving.signal }));
    assert.deepEqual(idsOf(await older), []);
    leaving.abort();
    assert.deepEqual(idsOf(await newer), []);
    const last = outlet.poll(ask({ waitMs: 30_000 }));
    const goodbye = createGoodbye(GoodbyeReason.SERVER_DRAINING);
    outlet.end([goodbyeFrame(goodbye)], goodbye);
    assert.equal((await last).frames[0]?.frame.case, "goodbye");
    assert.equal(outlet.finished, false);
    await outlet.poll(ask({ acknowledgedCursor: 1 }));
    assert.equal(outlet.finished, true);
  });

  it("is bounded, and starts behind what it dropped", async () => {
    const outlet = create();
    let added = 0;
    while (outlet.frame(doneFrame(BigInt(added + 1)))) added++;
    assert.ok(added < 1024);
    assert.equal(outlet.waitingFrames, added);
    outlet.dropEvents();
    outlet.frame(doneFrame(9999n));
    const answer = await outlet.poll(ask({ acknowledgedCursor: 3 }));
    assert.deepEqual([idsOf(answer), answer.cursor], [[9999], added + 1]);
  });

  it("keeps a client alive while it waits", async () => {
    const outlet = create();
    let alive = 0;
    outlet.onAlive = () => alive++;
    outlet.ping();
    const waiting = outlet.poll(ask({ waitMs: 30_000 }));
    outlet.ping();
    outlet.frame(doneFrame(1n));
    await waiting;
    assert.equal(alive, 1);
  });

  it("is gone at once when it was idle", () => {
    const outlet = create();
    let destroyed = 0;
    outlet.onDestroyed = () => destroyed++;
    const goodbye = createGoodbye(GoodbyeReason.IDLE);
    outlet.end([goodbyeFrame(goodbye)], goodbye);
    assert.equal(destroyed, 1);
    assert.equal(outlet.finished, true);
  });
});
