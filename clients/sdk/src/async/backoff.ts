/** Pauses between attempts. */

export type Backoff = {
  /** The next pause in ms: uniform between 0 and a bound that doubles with each attempt. */
  next(): number;
  /** Starts again from the first bound: an attempt succeeded. */
  reset(): void;
};

/**
 * Exponential backoff with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015): when
 * a server comes back, its clients return spread over the whole pause instead of in step.
 */
export function createBackoff(options: {
  /** Bound of the first pause, in ms. */
  readonly initialMs: number;
  /** Bound of every pause, in ms. */
  readonly maxMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}): Backoff {
  let attempts = 0;
  return {
    next() {
      const boundMs = Math.min(options.maxMs, options.initialMs * 2 ** attempts);
      attempts = Math.min(attempts + 1, 32); // 2^32 ms is beyond every bound
      return options.random() * boundMs;
    },
    reset() {
      attempts = 0;
    },
  };
}
