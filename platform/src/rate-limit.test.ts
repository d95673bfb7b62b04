import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createManualClock } from "./clock.ts";
import { createRateLimiter } from "./rate-limit.ts";

function createRig(options: { ratePerSecond?: number; burst?: number; keysMax?: number } = {}) {
  const clock = createManualClock(0);
  const limiter = createRateLimiter({
    ratePerSecond: 10,
    burst: 5,
    keysMax: 100,
    clock,
    ...options,
  });
  return { clock, limiter };
}

test("a key spends its burst at once, then one token per interval", () => {
  const { clock, limiter } = createRig();
  for (let index = 0; index < 5; index++) assert.deepEqual(limiter.take("a"), { ok: true });
  assert.deepEqual(limiter.take("a"), { ok: false, retryAfterMs: 100 });
  clock.advance(100);
  assert.deepEqual(limiter.take("a"), { ok: true });
  assert.deepEqual(limiter.take("a"), { ok: false, retryAfterMs: 100 });
});

test("keys do not touch each other", () => {
  const { limiter } = createRig({ burst: 1 });
  assert.equal(limiter.take("a").ok, true);
  assert.equal(limiter.take("b").ok, true);
  assert.equal(limiter.take("a").ok, false);
});

test("a cost is taken wholly or not at all, and one above the burst never", () => {
  const { limiter } = createRig();
  assert.equal(limiter.take("a", 4).ok, true);
  assert.deepEqual(limiter.take("a", 3), { ok: false, retryAfterMs: 200 });
  assert.equal(limiter.take("a", 1).ok, true);
  assert.deepEqual(limiter.take("a", 6), { ok: false, retryAfterMs: Number.POSITIVE_INFINITY });
});

test("a clock that is set gives no tokens and takes none", () => {
  const { clock, limiter } = createRig();
  limiter.take("a", 5);
  for (const stepMs of [-60_000, 120_000]) {
    clock.set(clock.nowMs() + stepMs);
    assert.deepEqual(limiter.take("a"), { ok: false, retryAfterMs: 100 });
    clock.advance(100);
    assert.equal(limiter.take("a").ok, true);
  }
});

test("the key that was not used for longest is forgotten first", () => {
  const { limiter } = createRig({ burst: 1, keysMax: 2 });
  limiter.take("a");
  limiter.take("b");
  assert.equal(limiter.take("a").ok, false);
  limiter.take("c");
  assert.equal(limiter.keyCount, 2);
  assert.equal(limiter.take("a").ok, false);
  assert.equal(limiter.take("b").ok, true);
});

test("over any time a key gets at most its burst and what it earned; waiting as told succeeds", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ waitMs: fc.nat(500), cost: fc.integer({ min: 1, max: 5 }) }), {
        maxLength: 60,
      }),
      (steps) => {
        const { clock, limiter } = createRig();
        let taken = 0;
        for (const { waitMs, cost } of steps) {
          clock.advance(waitMs);
          const decision = limiter.take("a", cost);
          if (!decision.ok) {
            clock.advance(decision.retryAfterMs);
            assert.equal(limiter.take("a", cost).ok, true);
          }
          taken += cost;
          assert.ok(taken <= 5 + (clock.nowMs() * 10) / 1000 + 1e-6);
        }
      },
    ),
  );
});

test("limits that cannot be meant are refused", () => {
  assert.throws(() => createRig({ burst: 0 }), RangeError);
  assert.throws(() => createRig({ ratePerSecond: Number.NaN }), RangeError);
});
