import assert from "node:assert/strict";
import { test } from "node:test";
import { createBackoff } from "./backoff.ts";

test("pauses double up to the maximum, and start again after a reset", () => {
  const backoff = createBackoff({ initialMs: 100, maxMs: 500, random: () => 1 });
  assert.deepEqual(
    [backoff.next(), backoff.next(), backoff.next(), backoff.next()],
    [100, 200, 400, 500],
  );
  assert.equal(backoff.attempts, 4);
  backoff.reset();
  assert.equal(backoff.next(), 100);
});

test("half of a pause is random", () => {
  const least = createBackoff({ initialMs: 100, maxMs: 500, random: () => 0 });
  assert.equal(least.next(), 50);
  const some = createBackoff({ initialMs: 100, maxMs: 500 });
  for (let index = 0; index < 100; index++) {
    const pauseMs = some.next();
    assert.ok(pauseMs >= 50 && pauseMs <= 500);
  }
});

test("a thousand attempts do not overflow", () => {
  const backoff = createBackoff({ initialMs: 100, maxMs: 500, random: () => 1 });
  for (let index = 0; index < 2000; index++) backoff.next();
  assert.equal(backoff.next(), 500);
});
