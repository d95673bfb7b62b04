/** Time that never goes back, made from readings of a clock that may. */
export type MonotoneTime = {
  /** The time in ms at this reading of the clock; not less than at any reading before. */
  at(clockMs: number): number;
};

/**
 * Creates it. A clock that is set back stops this time for one reading and no longer, so that a session
 * heard from "in the future" still expires.
 */
export function createMonotoneTime(): MonotoneTime {
  let elapsedMs = 0;
  let lastMs: number | undefined;
  return {
    at(clockMs) {
      if (lastMs !== undefined && clockMs > lastMs) elapsedMs += clockMs - lastMs;
      lastMs = clockMs;
      return elapsedMs;
    },
  };
}
