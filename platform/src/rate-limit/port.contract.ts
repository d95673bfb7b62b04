/** What every shared rate limiter does; run by each adapter. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { SharedRateLimit, SharedRateLimiter, TokenRequest } from "./port.ts";

export type SharedRateLimiterFixture = AsyncDisposable & {
  /** Opens a limit, each time as another process would; the same one where there can be only one. */
  open(limit: SharedRateLimit): Promise<SharedRateLimiter>;
  /** Lets the limiter's time pass. */
  pass(ms: number): void;
};

// Slow, so that no bucket fills up in the real time that a test takes.
const LIMIT: SharedRateLimit = { name: "test", ratePerSecond: 0.1, burst: 5 };
const OK = { ok: true };

async function takeOne(limiter: SharedRateLimiter, key: string, cost?: number) {
  const request: TokenRequest = cost === undefined ? { key } : { key, cost };
  const [decision] = await limiter.take([request]);
  assert.ok(decision !== undefined);
  return decision;
}

export function runSharedRateLimiterContract(
  name: string,
  create: () => Promise<SharedRateLimiterFixture>,
): void {
  describe(`the shared rate limiter in ${name}`, () => {
    it("lets all processes together spend a key's burst, then one token per interval", async () => {
      await using fixture = await create();
      const limiters = [await fixture.open(LIMIT), await fixture.open(LIMIT)];
      const all = await Promise.all(
        Array.from({ length: 10 }, (_, index) => takeOne(limiters[index % 2] as never, "a")),
      );
      assert.equal(all.filter(({ ok }) => ok).length, 5);
      for (const limiter of limiters) {
        assert.deepEqual(await takeOne(limiter, "a"), { ok: false, retryAfterMs: 10_000 });
        fixture.pass(10_000);
        assert.deepEqual(await takeOne(limiter, "a"), OK);
      }
    });

    it("decides a batch in order, each request by itself", async () => {
      await using fixture = await create();
      const limiter = await fixture.open(LIMIT);
      const decisions = await limiter.take([
        { key: "a", cost: 4 },
        { key: "a", cost: 3 },
        { key: "b" },
        { key: "a" },
        { key: "a", cost: 6 },
      ]);
      const refused = { ok: false, retryAfterMs: 20_000 };
      const never = { ok: false, retryAfterMs: Number.POSITIVE_INFINITY };
      assert.deepEqual(decisions, [OK, refused, OK, OK, never]);
      assert.deepEqual(await limiter.take([]), []);
    });

    it("keeps limits of different names apart", async () => {
      await using fixture = await create();
      const one = await fixture.open({ ...LIMIT, burst: 1 });
      const two = await fixture.open({ ...LIMIT, name: "other", burst: 1 });
      assert.equal((await takeOne(one, "a")).ok, true);
      assert.equal((await takeOne(two, "a")).ok, true);
      assert.equal((await takeOne(one, "a")).ok, false);
    });

    it("takes any text as a key", async () => {
      await using fixture = await create();
      const limiter = await fixture.open({ ...LIMIT, burst: 1 });
      for (const key of ["", "{a}", "}{", "::1", "ä ⏎\n"]) {
        assert.equal((await takeOne(limiter, key)).ok, true, key);
        assert.equal((await takeOne(limiter, key)).ok, false, key);
      }
    });

    it("gives a key its burst and what it earned and no more; waiting as told succeeds", async () => {
      await using fixture = await create();
      const limiters = [await fixture.open(LIMIT), await fixture.open(LIMIT)];
      let run = 0;
      const anyStep = fc.record({
        process: fc.nat({ max: 1 }),
        waitMs: fc.nat({ max: 50_000 }),
        cost: fc.integer({ min: 1, max: 5 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(anyStep, { maxLength: 20 }), async (steps) => {
          const key = `key ${run++}`;
          let taken = 0;
          let passedMs = 0;
          for (const { process: index, waitMs, cost } of steps) {
            const limiter = limiters[index] as SharedRateLimiter;
            fixture.pass(waitMs);
            passedMs += waitMs;
            const decision = await takeOne(limiter, key, cost);
            if (!decision.ok) {
              fixture.pass(decision.retryAfterMs);
              passedMs += decision.retryAfterMs;
              assert.equal((await takeOne(limiter, key, cost)).ok, true);
            }
            taken += cost;
            assert.ok(taken <= LIMIT.burst + (passedMs * LIMIT.ratePerSecond) / 1000 + 1e-3);
          }
        }),
        { numRuns: 50 },
      );
    });

    it("refuses limits that cannot be meant", async () => {
      await using fixture = await create();
      for (const wrong of [{ burst: 0 }, { ratePerSecond: Number.NaN }, { name: "a b" }]) {
        await assert.rejects(async () => fixture.open({ ...LIMIT, ...wrong }), RangeError);
      }
    });
  });
}
