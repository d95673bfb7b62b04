/** Limits that several processes keep together. */
import type { RateLimitDecision } from "../rate-limit.ts";

export type SharedRateLimit = {
  /** Names the limit among others; limits of one name share their buckets. Letters, digits and dashes. */
  readonly name: string;
  /** Tokens that a key earns per second. */
  readonly ratePerSecond: number;
  /** Tokens that a key may save up, and has at first. */
  readonly burst: number;
};

export type TokenRequest = {
  readonly key: string;
  /** Tokens to take; default 1. */
  readonly cost?: number;
};

/**
 * Token buckets per key, shared by everybody who opened the limit under its name.
 *
 * - Each request is decided by itself, all or nothing, and atomically: of two processes that want a key's last
 *   token one gets it. Example of what must not happen: four gateways let somebody guess a password four times
 *   as often as one would.
 * - When refused, `retryAfterMs` is when the same request would succeed if nobody else took any; a cost above
 *   the burst never succeeds (`Infinity`).
 * - A batch is one round trip, decided in order: the second request for a key sees what the first took.
 * - Time is the limiter's own, and setting a clock neither adds nor removes tokens.
 * - Nothing is durable: a limiter that lost everything lets each key begin with a full burst, once.
 * - A call that cannot be decided rejects with `UNAVAILABLE`. Its caller falls back on a limit of its own, and
 *   refuses nobody because a store is down.
 *
 * It costs a network round trip, so it is for what is rare and must not be multiplied by the number of processes:
 * signing in, signing up, failed authentication. Calls and messages have `createRateLimiter`.
 */
export interface SharedRateLimiter extends AsyncDisposable {
  take(requests: readonly TokenRequest[]): Promise<RateLimitDecision[]>;
}
