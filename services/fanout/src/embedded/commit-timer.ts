/** When the next commit begins: soon, or after the pause that a failed one asks for. */

export type CommitTimer = {
  /** Runs the commit in so many ms, or at the earlier time that is set already. Nothing during a pause. */
  soon(delayMs: number): void;
  /** Runs the commit in so many ms, and not earlier. */
  pause(delayMs: number): void;
  cancel(): void;
};

export function createCommitTimer(run: () => void): CommitTimer {
  let timer: NodeJS.Timeout | undefined;
  let dueMs = 0;
  let pausing = false;
  const set = (delayMs: number) => {
    clearTimeout(timer);
    dueMs = performance.now() + delayMs;
    timer = setTimeout(() => {
      timer = undefined;
      pausing = false;
      run();
    }, delayMs);
  };
  return {
    soon(delayMs) {
      if (timer !== undefined && (pausing || performance.now() + delayMs >= dueMs)) return;
      set(delayMs);
    },
    pause(delayMs) {
      pausing = true;
      set(delayMs);
    },
    cancel: () => clearTimeout(timer),
  };
}
