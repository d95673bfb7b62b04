/** Limits of one process, for everybody in it. */
import type { Clock } from "../../clock.ts";
import { createRateLimiter, type RateLimiter } from "../../rate-limit.ts";
import { checkLimit } from "../limit-rules.ts";
import type { SharedRateLimit, SharedRateLimiter } from "../port.ts";

export type MemoryRateLimits = {
  /** Throws RangeError for a limit that cannot be meant. */
  open(limit: SharedRateLimit): SharedRateLimiter;
};

/** Buckets per limit, at about 150 bytes each; the one not used for longest is forgotten first. */
const KEYS_MAX = 50_000;

/** Creates the limits of a process; limits of one name share their buckets. */
export function createMemoryRateLimits({
  clock,
}: {
  readonly clock: Pick<Clock, "monotoneMs">;
}): MemoryRateLimits {
  const limiters = new Map<string, RateLimiter>();
  return {
    open(limit) {
      checkLimit(limit);
      const { name, ratePerSecond, burst } = limit;
      let limiter = limiters.get(name);
      if (limiter === undefined) {
        limiter = createRateLimiter({ ratePerSecond, burst, keysMax: KEYS_MAX, clock });
        limiters.set(name, limiter);
      }
      const own = limiter;
      return {
        take: async (requests) => requests.map(({ key, cost }) => own.take(key, cost)),
        async [Symbol.asyncDispose]() {},
      };
    },
  };
}
