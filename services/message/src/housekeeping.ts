/** What has to be done from time to time, on one timer each. */
import type { TimerClock } from "@parley/platform/clock";
import type { Logger } from "@parley/platform/telemetry/logger";

/** Calls `run` every `intervalMs` until disposed; the next pause begins when it is done. */
export function repeat(
  options: {
    readonly clock: TimerClock;
    readonly intervalMs: number;
    readonly log: Pick<Logger, "error">;
    /** Names the work in the log line of a failure. */
    readonly name: string;
  },
  run: (signal: AbortSignal) => void | Promise<void>,
): AsyncDisposable {
  const { clock, intervalMs, log, name } = options;
  const stopped = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const once = async () => {
    try {
      await run(stopped.signal);
    } catch (error) {
      log.error({ work: name, error }, "Work that is done from time to time failed.");
    }
    if (!stopped.signal.aborted) timer = clock.setTimer(intervalMs, start);
  };
  const start = () => {
    running = once();
  };
  let timer = clock.setTimer(intervalMs, start);
  return {
    async [Symbol.asyncDispose]() {
      stopped.abort();
      timer.cancel();
      await running;
    },
  };
}
