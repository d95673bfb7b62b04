/**
 * Ends the sessions of signed-out devices: takes revocations from the outbox to the fan-out service, one
 * call per person, until each was confirmed. What a process leaves behind when it dies is found in the
 * outbox by the next one; repeating a call does no harm.
 */
import { createBackoff } from "@parley/platform/async/backoff";
import { sleep } from "@parley/platform/async/sleep";
import { reasonOf } from "@parley/platform/errors";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { RevocationOutbox, Revocations } from "./account-ports.ts";

export type RevocationRelayDependencies = {
  readonly outbox: RevocationOutbox;
  /** Ends the sessions of a person's devices; resolves when they have ended. */
  readonly endSessions: (
    userId: string,
    deviceIds: readonly string[],
    signal: AbortSignal,
  ) => Promise<void>;
  readonly telemetry: Pick<Telemetry, "log" | "metrics">;
  /** How long a call waits for the end of sessions, in ms. */
  readonly waitMaxMs?: number;
  /** How often the outbox is searched for what another process left behind, in ms. */
  readonly sweepIntervalMs?: number;
};

export type RevocationRelay = Revocations &
  AsyncDisposable & {
    /** Begins to work on the outbox. */
    start(): void;
  };

/** Long enough for two hops and a confirmation, short enough for somebody who pressed "sign out". */
const WAIT_MAX_MS = 2000;
/** Entries read at a time; a person has at most 16 devices. */
const ENTRIES_PER_READ_MAX = 512;
/** People served at once: each call waits for gateways, which may take as long as one takes to be given up. */
const CALLS_MAX = 32;
const SWEEP_INTERVAL_MS = 5000;
const RETRY_INITIAL_MS = 50;
const RETRY_MAX_MS = 10_000;

/** Creates the relay; nothing runs before `start`. */
export function createRevocationRelay(dependencies: RevocationRelayDependencies): RevocationRelay {
  return new Relay(dependencies);
}

class Relay implements RevocationRelay {
  readonly #dependencies: RevocationRelayDependencies;
  readonly #stopped = new AbortController();
  /** People who are being served, with the end of that. */
  readonly #calls = new Map<string, Promise<void>>();
  readonly #waiters = new Map<string, Set<() => void>>();
  readonly #retried;
  #running: Promise<void> | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(dependencies: RevocationRelayDependencies) {
    this.#dependencies = dependencies;
    this.#retried = dependencies.telemetry.metrics.counter(
      "parley_directory_revocation_retries_total",
      "Attempts to end the sessions of signed-out devices that failed.",
    );
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async waitEnded(deviceIds: readonly string[]): Promise<void> {
    if (deviceIds.length === 0 || this.#stopped.signal.aborted) return;
    const ended = deviceIds.map((deviceId) => this.#endOf(deviceId));
    this.#wake.resolve();
    const timeout = Promise.withResolvers<void>();
    const { waitMaxMs = WAIT_MAX_MS } = this.#dependencies;
    const timer = setTimeout(timeout.resolve, waitMaxMs);
    await Promise.race([Promise.all(ended.map(({ promise }) => promise)), timeout.promise]);
    clearTimeout(timer);
    for (const { cancel } of ended) cancel();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    this.#wake.resolve();
    for (const waiters of this.#waiters.values()) for (const resolve of waiters) resolve();
    await Promise.all([this.#running, ...this.#calls.values()]);
  }

  #endOf(deviceId: string) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiters = this.#waiters.get(deviceId) ?? new Set();
    waiters.add(resolve);
    this.#waiters.set(deviceId, waiters);
    const cancel = () => {
      waiters.delete(resolve);
      if (waiters.size === 0 && this.#waiters.get(deviceId) === waiters) {
        this.#waiters.delete(deviceId);
      }
    };
    return { promise, cancel };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    const { outbox, telemetry } = this.#dependencies;
    while (!signal.aborted) {
      // Replaced before the read: what is written after it wakes the next round.
      this.#wake = Promise.withResolvers();
      try {
        this.#serve(await outbox.listRevocations(ENTRIES_PER_READ_MAX));
      } catch (error) {
        telemetry.log.warn({ error }, "The outbox of revocations could not be read.");
      }
      await this.#pause();
    }
  }

  /** Until somebody revokes a device, or the next sweep is due. */
  async #pause(): Promise<void> {
    const woken = new AbortController();
    const { sweepIntervalMs = SWEEP_INTERVAL_MS } = this.#dependencies;
    const pause = sleep(sweepIntervalMs, woken.signal).catch(() => undefined);
    await Promise.race([pause, this.#wake.promise]);
    woken.abort();
    await pause;
  }

  #serve(entries: readonly { readonly userId: string; readonly deviceId: string }[]): void {
    const byUser = Map.groupBy(entries, (entry) => entry.userId);
    for (const [userId, devices] of byUser) {
      // Whoever is left out is found again: the end of every call begins another round.
      if (this.#calls.size >= CALLS_MAX || this.#calls.has(userId)) continue;
      const deviceIds = devices.map((device) => device.deviceId);
      const call = this.#endUntilDone(userId, deviceIds).finally(() => {
        this.#calls.delete(userId);
        this.#wake.resolve();
      });
      this.#calls.set(userId, call);
    }
  }

  async #endUntilDone(userId: string, deviceIds: readonly string[]): Promise<void> {
    const { endSessions, outbox, telemetry } = this.#dependencies;
    const { signal } = this.#stopped;
    const backoff = createBackoff({ initialMs: RETRY_INITIAL_MS, maxMs: RETRY_MAX_MS });
    while (!signal.aborted) {
      try {
        await endSessions(userId, deviceIds, signal);
        await outbox.deleteRevocations(deviceIds);
        for (const deviceId of deviceIds) {
          for (const resolve of this.#waiters.get(deviceId) ?? []) resolve();
        }
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#retried.inc();
        telemetry.log.warn(
          { userId, attempts: backoff.attempts + 1, reason: reasonOf(error), error },
          "The sessions of signed-out devices could not be ended; it is repeated.",
        );
        await sleep(backoff.next(), signal).catch(() => undefined);
      }
    }
  }
}
