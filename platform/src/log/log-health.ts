/** Whether the log takes records and can be read, as a component of the process's health. */
import { systemClock, type Timer, type TimerClock } from "../clock.ts";
import type { Health } from "../health.ts";
import { LogUnavailableError } from "./port.ts";

export type LogHealth = Disposable & {
  /** An append succeeded: a failure before it was a passing one. */
  appended(): void;
  /** An append failed. What the caller did wrong, and overload, say nothing about the log. */
  appendFailed(error: unknown): void;
  /** The log takes nothing more until the process is started again. The first reason stays. */
  stopped(reason: string): void;
  /** A place (such as `fanout/3`) cannot be read. */
  damaged(place: string, reason: string): void;
  /** A place was read. */
  delivered(place: string): void;
};

const COMPONENT = "log";

/**
 * A process that is not ready gets no messages, and without messages nobody finds out that the log takes
 * them again. So after this long without another failure the next ones may try.
 */
export const LOG_RETRY_MS = 10_000;

/** Creates the component; it serves until the log says otherwise. */
export function createLogHealth(options: {
  readonly health: Health;
  readonly clock?: TimerClock;
}): LogHealth {
  const { health, clock = systemClock } = options;
  const damages = new Map<string, string>();
  let stoppedReason: string | undefined;
  let failure: { readonly reason: string; readonly timer: Timer } | undefined;

  const show = () => {
    const [damage] = damages.values();
    const reason = stoppedReason ?? damage ?? failure?.reason;
    health.set(COMPONENT, reason === undefined, reason);
  };
  const clearFailure = () => {
    failure?.timer.cancel();
    failure = undefined;
  };
  show();

  return {
    appended() {
      if (failure === undefined) return;
      clearFailure();
      show();
    },
    appendFailed(error) {
      if (!(error instanceof LogUnavailableError) || stoppedReason !== undefined) return;
      clearFailure();
      const timer = clock.setTimer(LOG_RETRY_MS, () => {
        failure = undefined;
        show();
      });
      failure = { reason: `The log did not take a record: ${error.message}`, timer };
      show();
    },
    stopped(reason) {
      clearFailure();
      stoppedReason ??= reason;
      show();
    },
    damaged(place, reason) {
      damages.set(place, reason);
      show();
    },
    delivered(place) {
      if (damages.delete(place)) show();
    },
    [Symbol.dispose]: clearFailure,
  };
}
