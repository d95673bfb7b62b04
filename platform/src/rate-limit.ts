/** Token buckets per key, in bounded memory. */
import type { Clock } from "./clock.ts";

export type RateLimiterOptions = {
  /** Tokens that a key earns per second. */
  readonly ratePerSecond: number;
  /** Tokens that a key may save up, and has at first. */
  readonly burst: number;
  /** Keys that are remembered; the one not used for longest is forgotten first, as if it were full again. */
  readonly keysMax: number;
  readonly clock: Pick<Clock, "monotoneMs">;
};

export type RateLimitDecision =
  | { readonly ok: true }
  | { readonly ok: false; readonly retryAfterMs: number };

export type RateLimiter = {
  /**
   * Takes `cost` tokens (default 1) of a key, all or nothing. When refused, `retryAfterMs` is when the
   * same call would succeed if nobody else took any; a cost above the burst never succeeds (`Infinity`).
   */
  take(key: string, cost?: number): RateLimitDecision;
  /** Keys remembered now; at most `keysMax`. */
  readonly keyCount: number;
};

type Bucket = { tokens: number; refilledMs: number };

const OK: RateLimitDecision = { ok: true };

/** Creates a limiter. Setting the system's clock neither adds nor removes tokens. */
export function createRateLimiter(options: RateLimiterOptions): RateLimiter {
  const { ratePerSecond, burst, keysMax, clock } = options;
  if (!(ratePerSecond > 0 && burst > 0 && keysMax > 0)) {
    throw new RangeError("ratePerSecond, burst and keysMax must be positive");
  }
  // A Map iterates in insertion order; taking a key out and putting it back makes the first the oldest.
  const buckets = new Map<string, Bucket>();

  const touch = (key: string, nowMs: number): Bucket => {
    const known = buckets.get(key);
    if (known !== undefined) {
      buckets.delete(key);
      buckets.set(key, known);
      known.tokens = Math.min(
        burst,
        known.tokens + ((nowMs - known.refilledMs) * ratePerSecond) / 1000,
      );
      known.refilledMs = nowMs;
      return known;
    }
    if (buckets.size >= keysMax) buckets.delete(buckets.keys().next().value as string);
    const fresh = { tokens: burst, refilledMs: nowMs };
    buckets.set(key, fresh);
    return fresh;
  };

  return {
    take(key, cost = 1) {
      const bucket = touch(key, clock.monotoneMs());
      if (bucket.tokens >= cost) {
        bucket.tokens -= cost;
        return OK;
      }
      if (cost > burst) return { ok: false, retryAfterMs: Number.POSITIVE_INFINITY };
      return {
        ok: false,
        retryAfterMs: Math.ceil(((cost - bucket.tokens) * 1000) / ratePerSecond),
      };
    },
    get keyCount() {
      return buckets.size;
    },
  };
}
