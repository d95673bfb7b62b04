/**
 * Brings decided changes from the outbox into their conversation's log.
 *
 * One lane per conversation sends its changes one after the other, in order of version; lanes run side by
 * side. A lane repeats a change until the log has taken it: skipping one would leave the members of this
 * conversation wrong for ever, because the applier takes only the version that follows. What a process
 * leaves behind when it dies is found in the outbox by the next one. Only a log of another history ends a
 * lane: its conversation stands still, with its changes in the outbox, until an operator has acted.
 */
import { createBackoff } from "@parley/platform/async/backoff";
import { sleep } from "@parley/platform/async/sleep";
import { reasonOf } from "@parley/platform/errors";
import type { Health } from "@parley/platform/health";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import {
  ChangeConflictError,
  ChangePendingError,
  type ChangeRelay,
  type OutboxEntry,
  type OutboxStore,
} from "./conversation-ports.ts";

export type OutboxRelayDependencies = {
  readonly outbox: OutboxStore;
  /**
   * Hands one change to the log; resolves when it has been applied, now or before. A `ChangeConflictError`
   * ends the conversation's lane; any other rejection is repeated. Disposed with the relay.
   */
  readonly appender: AsyncDisposable & { append(entry: OutboxEntry): Promise<void> };
  readonly telemetry: Pick<Telemetry, "log" | "metrics" | "tracer">;
  /** Told when a conversation's changes cannot be applied any more. */
  readonly health?: Health | undefined;
};

export type OutboxRelay = ChangeRelay &
  AsyncDisposable & {
    /** Begins to bring in what is in the outbox from before, and looks again from time to time. */
    start(): void;
  };

/** Conversations on their way at once; below what one stream to the message service may leave unanswered. */
export const RELAY_LANES_MAX = 1000;
/** Calls that wait for a change; far above what a process can have open within the longest wait. */
export const RELAY_WAITERS_MAX = 10_000;
/** Changes read at a time; a conversation rarely has two. */
const ENTRIES_PER_READ_MAX = 64;
/** A lane without answer tries again soon, because people wait; and not all the time, because it may take long. */
const RETRY_INITIAL_MS = 20;
const RETRY_MAX_MS = 2000;
/** One line for this many attempts: the first says what is wrong, later ones that it still is. */
const ATTEMPTS_PER_REPORT = 30;
/** How often the outbox is searched for what another process left behind. */
const SWEEP_INTERVAL_MS = 5000;
/** Conversations that are known to stand still; each further one is found out again with every sweep. */
const CONFLICTS_KEPT_MAX = 10_000;
/** Conversations looked at in one read of a sweep. */
const SWEEP_PAGE_MAX = 500;

type Waiter = {
  readonly membershipVersion: number;
  /** The lane's count of questions when this one was asked. */
  readonly asked: number;
  resolve(): void;
  reject(error: unknown): void;
};

type Lane = { asked: number; readonly waiters: Set<Waiter>; done: Promise<void> };

/** Creates the relay; nothing runs before `start` or the first wait. Disposing it leaves the outbox as it is. */
export function createOutboxRelay(dependencies: OutboxRelayDependencies): OutboxRelay {
  return new Relay(dependencies);
}

class Relay implements OutboxRelay {
  readonly #dependencies: OutboxRelayDependencies;
  readonly #lanes = new Map<string, Lane>();
  readonly #conflicts = new Map<string, ChangeConflictError>();
  readonly #stopped = new AbortController();
  readonly #relayed;
  readonly #retried;
  #waiterCount = 0;
  #sweeping: Promise<void> | undefined;

  constructor(dependencies: OutboxRelayDependencies) {
    this.#dependencies = dependencies;
    const { metrics } = dependencies.telemetry;
    this.#relayed = metrics.counter(
      "parley_directory_changes_relayed_total",
      "Conversation changes that the log has taken.",
    );
    this.#retried = metrics.counter(
      "parley_directory_change_retries_total",
      "Attempts to hand a conversation change to the log that failed.",
    );
  }

  start(): void {
    this.#sweeping ??= this.#sweepUntilStopped();
  }

  waitApplied(
    conversationId: string,
    membershipVersion: number,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<void> {
    const { signal, timeoutMs } = options;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const conflict = this.#conflicts.get(conversationId);
    if (conflict !== undefined) return Promise.reject(conflict);
    const lane = this.#stopped.signal.aborted ? undefined : this.#laneOf(conversationId);
    if (lane === undefined || this.#waiterCount >= RELAY_WAITERS_MAX) {
      return Promise.reject(new ChangePendingError("the relay takes no more waiters"));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { membershipVersion, asked: ++lane.asked, resolve, reject };
    lane.waiters.add(waiter);
    this.#waiterCount++;
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer = setTimeout(
      () => reject(new ChangePendingError("the change was not applied in time")),
      Math.max(0, timeoutMs),
    );
    return promise.finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      lane.waiters.delete(waiter);
      this.#waiterCount--;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    for (const lane of this.#lanes.values()) {
      for (const waiter of lane.waiters) waiter.reject(new ChangePendingError("the relay stopped"));
    }
    await this.#dependencies.appender[Symbol.asyncDispose]();
    await Promise.all([this.#sweeping, ...[...this.#lanes.values()].map((lane) => lane.done)]);
  }

  /** The conversation's lane, begun if there is none; undefined when there are too many. */
  #laneOf(conversationId: string): Lane | undefined {
    const running = this.#lanes.get(conversationId);
    if (running !== undefined) return running;
    if (this.#lanes.size >= RELAY_LANES_MAX) return undefined;
    const lane: Lane = { asked: 0, waiters: new Set(), done: Promise.resolve() };
    this.#lanes.set(conversationId, lane);
    lane.done = this.#runLane(conversationId, lane);
    return lane;
  }

  /** Works until the outbox holds nothing of the conversation, or the relay stops. */
  async #runLane(conversationId: string, lane: Lane): Promise<void> {
    // The waiter that began the lane is entered after this returns; its question counts before the read.
    await undefined;
    const backoff = createBackoff({ initialMs: RETRY_INITIAL_MS, maxMs: RETRY_MAX_MS });
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        if (await this.#emptyOnce(conversationId, lane)) return;
        backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ChangeConflictError)
          return this.#stopLane(conversationId, lane, error);
        this.#retried.inc();
        this.#reportFailure(conversationId, backoff.attempts, error);
        await sleep(backoff.next(), signal).catch(() => undefined);
      }
    }
  }

  /** Sends what the outbox holds now. True, with the lane gone, if nobody asked meanwhile. */
  async #emptyOnce(conversationId: string, lane: Lane): Promise<boolean> {
    const { outbox } = this.#dependencies;
    const asked = lane.asked;
    const entries = await outbox.readPending(conversationId, ENTRIES_PER_READ_MAX);
    const first = entries[0];
    if (first !== undefined) settle(lane, (waiter) => isBefore(waiter, first.membershipVersion));
    for (const entry of entries) {
      await this.#append(entry);
      settle(lane, (waiter) => waiter.membershipVersion <= entry.membershipVersion);
      await outbox.deletePending(conversationId, entry.membershipVersion);
      this.#relayed.inc();
    }
    if (entries.length === ENTRIES_PER_READ_MAX) return false;
    // Whoever asked before the read had committed before it: their change was in it, or applied before.
    settle(lane, (waiter) => waiter.asked <= asked);
    if (lane.asked !== asked) return false;
    this.#lanes.delete(conversationId);
    return true;
  }

  #stopLane(conversationId: string, lane: Lane, error: ChangeConflictError): void {
    this.#lanes.delete(conversationId);
    for (const waiter of lane.waiters) waiter.reject(error);
    const { telemetry, health } = this.#dependencies;
    health?.set("membership changes", false, error.message);
    if (this.#conflicts.size >= CONFLICTS_KEPT_MAX) return;
    this.#conflicts.set(conversationId, error);
    telemetry.log.error({ conversationId, error }, "A conversation's changes cannot be applied.");
  }

  #reportFailure(conversationId: string, attempts: number, error: unknown): void {
    if (attempts % ATTEMPTS_PER_REPORT !== 0) return;
    this.#dependencies.telemetry.log.warn(
      { conversationId, attempts: attempts + 1, reason: reasonOf(error), error },
      "A conversation change was not taken by the log; it is repeated.",
    );
  }

  async #append(entry: OutboxEntry): Promise<void> {
    const { appender, telemetry } = this.#dependencies;
    if (entry.traceParent === "") return await appender.append(entry);
    await telemetry.tracer.withSpan(
      "relay change",
      { parent: entry.traceParent, kind: "producer" },
      (span) => appender.append({ ...entry, traceParent: span.traceParent ?? entry.traceParent }),
    );
  }

  async #sweepUntilStopped(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        await this.#sweep();
      } catch (error) {
        this.#dependencies.telemetry.log.warn({ error }, "The outbox could not be searched.");
      }
      await sleep(SWEEP_INTERVAL_MS, signal).catch(() => undefined);
    }
  }

  async #sweep(): Promise<void> {
    for (let after = ""; !this.#stopped.signal.aborted; ) {
      const page = await this.#dependencies.outbox.listPending(after, SWEEP_PAGE_MAX);
      if (this.#stopped.signal.aborted) return;
      for (const conversationId of page) {
        if (!this.#conflicts.has(conversationId)) this.#laneOf(conversationId);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < SWEEP_PAGE_MAX) return;
      after = last;
    }
  }
}

/** An entry is in the outbox only after all earlier ones, and they leave it in order. */
function isBefore(waiter: Waiter, oldestPending: number): boolean {
  return waiter.membershipVersion < oldestPending;
}

function settle(lane: Lane, isApplied: (waiter: Waiter) => boolean): void {
  for (const waiter of lane.waiters) if (isApplied(waiter)) waiter.resolve();
}
