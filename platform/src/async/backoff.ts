/** Waiting between attempts. */

export type BackoffOptions = {
  /** Upper bound of the first pause, in ms. */
  readonly initialMs: number;
  /** Upper bound of every pause, in ms. */
  readonly maxMs: number;
  /** Growth per attempt; default 2. */
  readonly factor?: number;
  /** Uniform in [0, 1); replaced in tests. */
  readonly random?: () => number;
};

export type Backoff = {
  /** The next pause in ms: uniform between half of the bound and the bound, which grows each time. */
  next(): number;
  /** Starts again from the first pause: an attempt succeeded. */
  reset(): void;
  /** Pauses handed out since the last reset. */
  readonly attempts: number;
};

/**
 * Exponential backoff with jitter. Half of the pause is random, so that many clients that lost the same
 * server do not come back in step; the other half keeps one client from hammering.
 */
export function createBackoff(options: BackoffOptions): Backoff {
  const { initialMs, maxMs, factor = 2, random = Math.random } = options;
  let attempts = 0;
  return {
    next() {
      const boundMs = Math.min(maxMs, initialMs * factor ** attempts);
      attempts++;
      return boundMs / 2 + (random() * boundMs) / 2;
    },
    reset() {
      attempts = 0;
    },
    get attempts() {
      return attempts;
    },
  };
}
