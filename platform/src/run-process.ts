/** The life of an operating-system process around a lifecycle. `main.ts` passes its `process` in. */
import { ConfigError, SettingError } from "./config.ts";
import type { LogDestination, Logger } from "./telemetry/logger.ts";

/** What is used of Node's `process`. */
export type ProcessHost = {
  on(event: string, listener: (value: unknown) => void): unknown;
  off(event: string, listener: (value: unknown) => void): unknown;
  exit(code: number): void;
};

export type RunningProcess = AsyncDisposable & {
  /** Finishes what was taken on, at most this long. */
  drain(deadlineMs: number): Promise<void>;
};

export type RunProcessOptions = {
  readonly host: ProcessHost;
  readonly log: Logger;
  /** Where the operator is told, in one line, of a setting that does not work here. */
  readonly notices: LogDestination;
  /** Creates and starts everything. */
  readonly start: () => Promise<RunningProcess>;
  /** Time to drain after SIGTERM or SIGINT, in ms. */
  readonly drainMs: number;
};

const EXIT_OK = 0;
const EXIT_FAILED = 1;
/** By convention 128 + SIGINT. */
const EXIT_IMPATIENT = 130;

/**
 * Starts, waits for SIGTERM or SIGINT, drains, disposes, and exits with 0; with 1 when starting or ending
 * failed, or after an error that nobody caught (the state can then not be trusted, and every
 * acknowledged write is already durable). A second signal exits at once.
 */
export async function runProcess(options: RunProcessOptions): Promise<void> {
  const { host, log } = options;
  const stop = Promise.withResolvers<number>();
  let stopping = false;
  const onSignal = (signal: unknown) => {
    if (stopping) {
      log.warn({ signal }, "Exits without draining, because it was told to stop twice.");
      host.exit(EXIT_IMPATIENT);
      return;
    }
    stopping = true;
    log.info({ signal }, "Draining.");
    stop.resolve(EXIT_OK);
  };
  const onFailure = (error: unknown) => {
    log.error({ error }, "Stops because of an error that nobody caught.");
    stopping = true;
    stop.resolve(EXIT_FAILED);
  };
  const listeners = [
    ["SIGTERM", onSignal],
    ["SIGINT", onSignal],
    ["uncaughtException", onFailure],
    ["unhandledRejection", onFailure],
  ] as const;
  for (const [event, listener] of listeners) host.on(event, listener);

  let code: number;
  try {
    await using running = await options.start();
    code = await stop.promise;
    await running.drain(options.drainMs);
    log.info("Drained.");
  } catch (error) {
    if (error instanceof SettingError) options.notices.write(`${error.message}\n`);
    else log.error({ error }, "Stopped.");
    code = EXIT_FAILED;
  } finally {
    for (const [event, listener] of listeners) host.off(event, listener);
  }
  host.exit(code);
}

/** The exit code for an argument or a variable that cannot be used. */
export const EXIT_USAGE = 2;

/** What `read` makes of the environment; undefined, after one line that names it, when a variable is wrong. */
export function readSettings<T>(read: () => T, notices: LogDestination): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    notices.write(`${error.message}\n`);
    return undefined;
  }
}
