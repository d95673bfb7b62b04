import assert from "node:assert/strict";
import { test } from "node:test";
import { createCommitTimer } from "./commit-timer.ts";

/** How long it takes until the timer runs, in ms. */
async function measure(act: (timer: ReturnType<typeof createCommitTimer>) => void) {
  const ran = Promise.withResolvers<void>();
  let runs = 0;
  const timer = createCommitTimer(() => {
    runs++;
    ran.resolve();
  });
  const startMs = performance.now();
  act(timer);
  await ran.promise;
  assert.equal(runs, 1);
  return performance.now() - startMs;
}

test("the earlier of two times counts", async () => {
  const laterFirst = await measure((timer) => {
    timer.soon(60_000);
    timer.soon(1);
    timer.soon(60_000);
  });
  assert.ok(laterFirst < 30_000);
});

test("a pause is not cut short by new writes", async () => {
  const paused = await measure((timer) => {
    timer.soon(1);
    timer.pause(40);
    timer.soon(1);
  });
  assert.ok(paused >= 38, `${paused} ms`);
});

test("after a pause the next commit comes soon again", async () => {
  const again = Promise.withResolvers<void>();
  let runs = 0;
  const timer = createCommitTimer(() => {
    if (++runs === 2) again.resolve();
    else timer.soon(1);
  });
  timer.pause(1);
  await again.promise;
});
