/** Time as a dependency, so that everything that waits or expires can be tested without waiting. */

export type Clock = {
  /** Milliseconds since the Unix epoch. May go back or leap when the system's clock is set: for times to show or keep. */
  nowMs(): number;
  /**
   * Milliseconds since some moment, at the same pace, whatever the system's clock is set to; never goes back. For how
   * long ago something was; means nothing outside this process.
   */
  monotoneMs(): number;
};

/** A timer that has been set; disposing it before it fires cancels it. */
export type Timer = Disposable & { cancel(): void };

/** A clock that also wakes its user. */
export type TimerClock = Clock & {
  /** Calls `fn` once after `ms`; the process does not stay alive for it. */
  setTimer(ms: number, fn: () => void): Timer;
};

/** The system's clock. */
export const systemClock: TimerClock = {
  nowMs: () => Date.now(),
  monotoneMs: () => performance.now(),
  setTimer(ms, fn) {
    const handle = setTimeout(fn, ms);
    handle.unref();
    const cancel = () => clearTimeout(handle);
    return { cancel, [Symbol.dispose]: cancel };
  },
};

/** A clock for tests that stands still until it is advanced. */
export type ManualClock = TimerClock & {
  /** Moves time on by `ms` and runs every timer that falls due, in order of due time, at its due time. */
  advance(ms: number): void;
  /** Sets the time, possibly back, as an operator does: monotone time and timers do not notice. */
  set(nowMs: number): void;
  /** Timers that are waiting. */
  readonly timerCount: number;
};

/** Creates a manual clock that starts at `startMs` (default 2025-01-01T00:00:00Z). */
export function createManualClock(startMs = Date.UTC(2025, 0, 1)): ManualClock {
  let monotoneMs = 0;
  // What the time of day is ahead of monotone time.
  let offsetMs = startMs;
  let order = 0;
  const timers = new Set<{ dueMs: number; order: number; fn: () => void }>();

  const nextDue = (untilMs: number) => {
    let next: { dueMs: number; order: number; fn: () => void } | undefined;
    for (const timer of timers) {
      if (timer.dueMs > untilMs) continue;
      const earlier =
        next === undefined ||
        timer.dueMs < next.dueMs ||
        (timer.dueMs === next.dueMs && timer.order < next.order);
      if (earlier) next = timer;
    }
    return next;
  };

  return {
    nowMs: () => monotoneMs + offsetMs,
    monotoneMs: () => monotoneMs,
    setTimer(ms, fn) {
      const timer = { dueMs: monotoneMs + Math.max(0, ms), order: order++, fn };
      timers.add(timer);
      const cancel = () => void timers.delete(timer);
      return { cancel, [Symbol.dispose]: cancel };
    },
    advance(ms) {
      const untilMs = monotoneMs + ms;
      for (let timer = nextDue(untilMs); timer !== undefined; timer = nextDue(untilMs)) {
        timers.delete(timer);
        monotoneMs = Math.max(monotoneMs, timer.dueMs);
        timer.fn();
      }
      monotoneMs = untilMs;
    },
    set(value) {
      offsetMs = value - monotoneMs;
    },
    get timerCount() {
      return timers.size;
    },
  };
}
