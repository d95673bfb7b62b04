import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock, systemClock } from "./clock.ts";

test("a manual clock stands still until it is advanced", () => {
  const clock = createManualClock(1000);
  assert.equal(clock.nowMs(), 1000);
  clock.advance(50);
  assert.equal(clock.nowMs(), 1050);
  clock.set(900);
  assert.equal(clock.nowMs(), 900);
});

test("monotone time and timers do not notice that the clock is set", () => {
  const clock = createManualClock(1000);
  const startMs = clock.monotoneMs();
  const ran: number[] = [];
  clock.setTimer(10, () => ran.push(clock.nowMs()));
  clock.set(1_000_000);
  clock.advance(9);
  assert.deepEqual(ran, []);
  clock.set(-1_000_000);
  clock.advance(1);
  assert.deepEqual(ran, [-999_999]);
  assert.equal(clock.monotoneMs() - startMs, 10);
});

test("timers run in order of due time, then of setting, each at its own time", () => {
  const clock = createManualClock(0);
  const ran: string[] = [];
  const note = (name: string) => () => void ran.push(`${name}@${clock.nowMs()}`);
  clock.setTimer(20, note("b"));
  clock.setTimer(10, note("a"));
  clock.setTimer(20, note("c"));
  clock.setTimer(21, note("late"));
  clock.advance(20);
  assert.deepEqual(ran, ["a@10", "b@20", "c@20"]);
  assert.equal(clock.timerCount, 1);
});

test("a timer set by a timer runs in the same advance when it falls due in it", () => {
  const clock = createManualClock(0);
  const ran: number[] = [];
  const tick = () => {
    ran.push(clock.nowMs());
    clock.setTimer(10, tick);
  };
  clock.setTimer(10, tick);
  clock.advance(35);
  assert.deepEqual(ran, [10, 20, 30]);
});

test("a canceled or disposed timer does not run", () => {
  const clock = createManualClock(0);
  clock.setTimer(1, () => assert.fail("canceled")).cancel();
  {
    using _timer = clock.setTimer(1, () => assert.fail("disposed"));
  }
  clock.advance(10);
  assert.equal(clock.timerCount, 0);
});

test("the system's clock is the system's, and its timers fire once", async () => {
  assert.ok(Math.abs(systemClock.nowMs() - Date.now()) < 1000);
  const beforeMs = systemClock.monotoneMs();
  assert.ok(systemClock.monotoneMs() >= beforeMs);
  systemClock.setTimer(0, () => assert.fail("canceled")).cancel();
  // The timer does not keep the process alive, so something else must.
  const alive = setTimeout(() => undefined, 5000);
  await new Promise<void>((resolve) => systemClock.setTimer(1, resolve));
  clearTimeout(alive);
});
