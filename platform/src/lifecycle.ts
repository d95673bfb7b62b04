/** Starting in order, draining and ending in reverse order, each step with a deadline and a log line. */
import { createHealth, type Health } from "./health.ts";
import type { Logger } from "./telemetry/logger.ts";

export { type ComponentHealth, createHealth, type Health } from "./health.ts";

export type LifecycleStep = {
  /** Appears in logs and as the component's name in the health registry. */
  readonly name: string;
  /** Brings the part up; the next step starts after it has resolved. Stops trying when the signal aborts. */
  readonly start?: (signal: AbortSignal) => Promise<void> | void;
  /** Takes no new work and finishes what it has, until the signal aborts. */
  readonly drain?: (signal: AbortSignal) => Promise<void> | void;
  /** Gives up everything the part holds. */
  readonly dispose?: () => Promise<void> | void;
  /** Time for `start`, in ms; default 30,000, which is longer than any store takes to open and repair itself. */
  readonly startTimeoutMs?: number;
  /** Time for `dispose`, in ms; default 10,000. */
  readonly disposeTimeoutMs?: number;
};

export type LifecycleState = "created" | "starting" | "ready" | "draining" | "stopped";

export type Lifecycle = AsyncDisposable & {
  /** Adds a step behind those that are there. Only before `start`. */
  add(step: LifecycleStep): void;
  /** Adds a step that only disposes of a resource, and gives the resource back. */
  use<T extends AsyncDisposable>(name: string, resource: T): T;
  /** Runs every `start` in order. When one fails, disposes of all that were added and rejects with its error. */
  start(): Promise<void>;
  /** Runs every `drain` in reverse order, all within `deadlineMs`; one that fails or is late is logged. */
  drain(deadlineMs: number): Promise<void>;
  readonly state: LifecycleState;
  /** Not serving before `ready` and from `draining` on; steps may set their own components later. */
  readonly health: Health;
};

const START_TIMEOUT_MS = 30_000;
const DISPOSE_TIMEOUT_MS = 10_000;

/** The component that stands for the process as a whole. */
const PROCESS = "process";

/** Creates an empty lifecycle. */
export function createLifecycle(options: {
  readonly log: Logger;
  readonly health?: Health;
}): Lifecycle {
  const { log } = options;
  const health = options.health ?? createHealth();
  const steps: LifecycleStep[] = [];
  let state: LifecycleState = "created";
  let disposing: Promise<void> | undefined;
  health.set(PROCESS, false, "The process is starting.");

  const disposeAll = async () => {
    state = "stopped";
    health.set(PROCESS, false, "The process has stopped.");
    for (const step of steps.toReversed()) {
      if (step.dispose === undefined) continue;
      const { dispose } = step;
      const timeoutMs = step.disposeTimeoutMs ?? DISPOSE_TIMEOUT_MS;
      try {
        await withTimeout(`disposing of ${step.name}`, timeoutMs, async () => dispose());
      } catch (error) {
        log.error({ step: step.name, error }, "A part did not end cleanly.");
      }
    }
  };
  const disposeOnce = () => {
    disposing ??= disposeAll();
    return disposing;
  };

  const startStep = async (step: LifecycleStep) => {
    if (step.start === undefined) return;
    const { start, name } = step;
    const startedMs = performance.now();
    health.set(name, false, `${name} is starting.`);
    const timeoutMs = step.startTimeoutMs ?? START_TIMEOUT_MS;
    await withTimeout(`starting ${name}`, timeoutMs, async (signal) => start(signal));
    // A part that found out while starting that it cannot serve has set its own reason.
    if (health.get(name)?.reason === `${name} is starting.`) health.set(name, true);
    log.info({ step: name, duration_ms: Math.round(performance.now() - startedMs) }, "Started.");
  };

  return {
    add(step) {
      if (state !== "created") throw new Error(`a step cannot be added when ${state}`);
      steps.push(step);
    },
    use(name, resource) {
      this.add({ name, dispose: async () => resource[Symbol.asyncDispose]() });
      return resource;
    },
    async start() {
      if (state !== "created") throw new Error(`cannot start when ${state}`);
      state = "starting";
      const startedMs = performance.now();
      try {
        for (const step of steps) await startStep(step);
      } catch (error) {
        await disposeOnce();
        throw error;
      }
      if (state !== "starting") throw new Error("stopped while starting");
      state = "ready";
      health.set(PROCESS, true);
      log.info({ duration_ms: Math.round(performance.now() - startedMs) }, "Ready.");
    },
    async drain(deadlineMs) {
      if (state !== "ready") return;
      state = "draining";
      health.set(PROCESS, false, "The process is draining.");
      const endMs = performance.now() + deadlineMs;
      for (const step of steps.toReversed()) {
        if (step.drain === undefined) continue;
        const { drain } = step;
        try {
          const timeoutMs = Math.max(0, endMs - performance.now());
          await withTimeout(`draining ${step.name}`, timeoutMs, async (signal) => drain(signal));
        } catch (error) {
          log.warn({ step: step.name, error }, "A part did not finish its work in time.");
        }
      }
    },
    get state() {
      return state;
    },
    health,
    [Symbol.asyncDispose]: disposeOnce,
  };
}

/** Rejects when `run` takes longer than `timeoutMs`; its signal aborts then. */
async function withTimeout(
  what: string,
  timeoutMs: number,
  run: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new Error(`${what} took longer than ${Math.round(timeoutMs)} ms`);
    controller.abort(error);
    reject(error);
  }, timeoutMs);
  try {
    await Promise.race([run(controller.signal), promise]);
  } finally {
    clearTimeout(timer);
  }
}
