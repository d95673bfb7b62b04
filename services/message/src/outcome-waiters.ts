/** Callers that appended a record and wait until it is applied. */

import type { Clock } from "@parley/platform/clock";
import { resourceExhausted, unavailable } from "@parley/platform/errors";
import type { LogPosition } from "@parley/platform/log/port";
import type { RecordOutcome } from "./batch-work.ts";
import { orAborted } from "./or-aborted.ts";

export type OutcomeWaiters = {
  /** Begins to take records of a partition. */
  open(partition: number): void;
  /** The partition moved away or stopped: everybody who waits for it is told that the outcome is unknown. */
  close(partition: number, reason: string): void;
  isOpen(partition: number): boolean;
  /**
   * Appends and waits. Rejects with `UNAVAILABLE` when the outcome is unknown, and with
   * `RESOURCE_EXHAUSTED` without having appended when too many wait.
   */
  wait(partition: number, append: () => Promise<LogPosition>): Promise<RecordOutcome>;
  /** Counts as one that waits, until disposed: an append that is looked at before it is written. */
  hold(): Disposable;
  /** The applier's word for consecutive records of a partition, the first of them at `offset`. */
  settle(partition: number, offset: number, outcomes: readonly RecordOutcome[]): void;
  /** Tells those who have waited too long; called from time to time. */
  sweep(): void;
  /** Resolves when nobody waits, or the signal aborts. */
  idle(signal: AbortSignal): Promise<void>;
  readonly size: number;
};

export type OutcomeWaitersOptions = {
  readonly clock: Clock;
  /** Callers that may wait at once. */
  readonly waitersMax: number;
  /** How long one waits, in ms. */
  readonly timeoutMs: number;
};

type Waiter = {
  readonly expireTimeMs: number;
  resolve(outcome: RecordOutcome): void;
  reject(error: unknown): void;
};

type Line = {
  /** By offset. Entered nearly in order of time, so that the oldest come first. */
  readonly waiters: Map<number, Waiter>;
  /** Appends whose offset is not known yet. */
  appending: number;
  /** Outcomes that came before their append had returned, which some logs allow. */
  readonly early: Map<number, RecordOutcome>;
  appliedOffset: number;
};

/** Outcomes kept for appends that have not returned: more than a log has on its way in one partition. */
const EARLY_OUTCOMES_MAX = 4096;

export function createOutcomeWaiters(options: OutcomeWaitersOptions): OutcomeWaiters {
  return new Waiters(options);
}

class Waiters implements OutcomeWaiters {
  readonly #options: OutcomeWaitersOptions;
  readonly #lines = new Map<number, Line>();
  #size = 0;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: OutcomeWaitersOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#size;
  }

  open(partition: number): void {
    this.close(partition, "The partition begins anew.");
    const line = { waiters: new Map(), appending: 0, early: new Map(), appliedOffset: -1 };
    this.#lines.set(partition, line);
  }

  close(partition: number, reason: string): void {
    const line = this.#lines.get(partition);
    if (line === undefined) return;
    this.#lines.delete(partition);
    for (const waiter of line.waiters.values()) waiter.reject(unknownOutcome(reason));
    line.waiters.clear();
  }

  isOpen(partition: number): boolean {
    return this.#lines.has(partition);
  }

  wait(partition: number, append: () => Promise<LogPosition>): Promise<RecordOutcome> {
    const line = this.#lines.get(partition);
    if (line === undefined) return Promise.reject(notHere());
    if (this.#size >= this.#options.waitersMax) {
      const text = "Too many appends wait for their place.";
      return Promise.reject(resourceExhausted("TOO_MANY_APPENDS", text, { retryAfterMs: 1000 }));
    }
    this.#size++;
    line.appending++;
    return new Promise((resolve, reject) => {
      const expireTimeMs = this.#options.clock.monotoneMs() + this.#options.timeoutMs;
      const waiter: Waiter = {
        expireTimeMs,
        resolve: (outcome) => {
          resolve(outcome);
          this.#leave();
        },
        reject: (error) => {
          reject(error);
          this.#leave();
        },
      };
      append().then(
        ({ offset }) => this.#enter(partition, line, offset, waiter),
        (error: unknown) => {
          line.appending--;
          waiter.reject(error);
        },
      );
    });
  }

  settle(partition: number, offset: number, outcomes: readonly RecordOutcome[]): void {
    const line = this.#lines.get(partition);
    if (line === undefined) return;
    line.appliedOffset = Math.max(line.appliedOffset, offset + outcomes.length - 1);
    for (let at = 0; at < outcomes.length; at++) {
      const outcome = outcomes[at] as RecordOutcome;
      const waiter = line.waiters.get(offset + at);
      if (waiter !== undefined) {
        line.waiters.delete(offset + at);
        waiter.resolve(outcome);
      } else if (line.appending > 0) {
        line.early.set(offset + at, outcome);
        if (line.early.size > EARLY_OUTCOMES_MAX) {
          line.early.delete(line.early.keys().next().value as number);
        }
      }
    }
    if (line.appending === 0 && line.early.size > 0) line.early.clear();
  }

  sweep(): void {
    const nowMs = this.#options.clock.monotoneMs();
    for (const { waiters } of this.#lines.values()) {
      for (const [offset, waiter] of waiters) {
        if (waiter.expireTimeMs > nowMs) break;
        waiters.delete(offset);
        waiter.reject(unknownOutcome("The record was not applied in time."));
      }
    }
  }

  hold(): Disposable {
    this.#size++;
    return { [Symbol.dispose]: () => this.#leave() };
  }

  async idle(signal: AbortSignal): Promise<void> {
    if (this.#size === 0 || signal.aborted) return;
    this.#idle ??= Promise.withResolvers<void>();
    await orAborted(this.#idle.promise, signal).catch(() => undefined);
  }

  #leave(): void {
    this.#size--;
    if (this.#size > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }

  #enter(partition: number, line: Line, offset: number, waiter: Waiter): void {
    line.appending--;
    if (this.#lines.get(partition) !== line) {
      waiter.reject(unknownOutcome("The partition moved away."));
      return;
    }
    const outcome = line.early.get(offset);
    if (outcome !== undefined) {
      line.early.delete(offset);
      waiter.resolve(outcome);
    } else if (offset <= line.appliedOffset) {
      waiter.reject(unknownOutcome("The record was applied before its offset was known."));
    } else {
      line.waiters.set(offset, waiter);
    }
  }
}

function unknownOutcome(description: string): Error {
  return unavailable("OUTCOME_UNKNOWN", description);
}

function notHere(): Error {
  const text = "Another instance applies this conversation at the moment.";
  return unavailable("NOT_OWNER", text, { retryAfterMs: 100 });
}
