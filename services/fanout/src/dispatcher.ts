/** The path of entries through fan-out: inbox first, then who is online, then their gateways. */
import { create } from "@bufbuild/protobuf";
import type {
  FanoutBatch,
  FanoutEntry,
} from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import {
  type DeliveryEvent,
  DeliveryEventSchema,
} from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { type Backoff, createBackoff } from "@parley/platform/async/backoff";
import { createDeferred, type Deferred } from "@parley/platform/async/deferred";
import { sleep } from "@parley/platform/async/sleep";
import { unavailable } from "@parley/platform/errors";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { Span, Tracer } from "@parley/platform/telemetry/tracer";
import type { Deliverer } from "./deliverer.ts";
import { endSpans, startSpans } from "./dispatch-spans.ts";
import { type Plan, planEntries, type Run } from "./domain/plan.ts";
import type { FanoutMetrics } from "./fanout-metrics.ts";
import type { InboxStore, Written } from "./ports.ts";
import type { SessionLocator } from "./session-locator.ts";

export type Dispatcher = AsyncDisposable & {
  /**
   * Brings entries to their people. Resolves when the inboxes are durable and every receiver's gateway has
   * the events (or counts as gone); rejects only when the dispatcher is disposed of. Batches of one
   * conversation take effect in the order of the calls; those that wait for one another are taken together.
   */
  dispatch(batch: FanoutBatch): Promise<void>;
  /** Resolves when no batch is at work. */
  idle(): Promise<void>;
  /** Batches that are not finished. */
  readonly unfinished: number;
};

export type DispatcherDependencies = {
  readonly store: Pick<InboxStore, "readConversation" | "write">;
  readonly locator: Pick<SessionLocator, "locate">;
  readonly deliverer: Pick<Deliverer, "hand">;
  readonly metrics: Pick<FanoutMetrics, "dispatched">;
  readonly tracer: Pick<Tracer, "startSpan">;
  /** Called for entries that step over some; they are dispatched all the same. */
  readonly onMissing: (conversationId: string, missingSeq: bigint) => void;
  /** Called for changes of a group's members that step over some; they are applied all the same. */
  readonly onMissingChange: (conversationId: string, missingVersion: bigint) => void;
  readonly log: Logger;
};

/** Entries of one conversation that are taken together: a gateway reads them in one delivery. */
const ENTRIES_TOGETHER_MAX = 256;

const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 5000;

type Job = {
  readonly batch: FanoutBatch;
  readonly arrivedMs: number;
  readonly done: Deferred<void>;
};

/** One conversation's batches, in order. It exists while there are any. */
type Lane = { waiting: Job[] };

export function createDispatcher(dependencies: DispatcherDependencies): Dispatcher {
  return new ConversationDispatcher(dependencies);
}

class ConversationDispatcher implements Dispatcher {
  readonly #dependencies: DispatcherDependencies;
  readonly #lanes = new Map<string, Lane>();
  readonly #running = new Set<Promise<void>>();
  /** For stores; a set, because a signal takes longer for a listener the more it has. */
  readonly #waits = new Set<Deferred<void>>();
  readonly #disposed = new AbortController();
  #unfinished = 0;
  #idle: Deferred<void> | undefined;

  constructor(dependencies: DispatcherDependencies) {
    this.#dependencies = dependencies;
  }

  get unfinished(): number {
    return this.#unfinished;
  }

  dispatch(batch: FanoutBatch): Promise<void> {
    if (this.#disposed.signal.aborted) return Promise.reject(stopped());
    const job = { batch, arrivedMs: performance.now(), done: createDeferred<void>() };
    this.#unfinished++;
    const lane = this.#lanes.get(batch.conversationId);
    if (lane !== undefined) lane.waiting.push(job);
    else this.#open(batch.conversationId, job);
    return job.done.promise;
  }

  async idle(): Promise<void> {
    while (this.#unfinished > 0) {
      this.#idle ??= createDeferred();
      await this.#idle.promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort(stopped());
    for (const wait of this.#waits) wait.reject(this.#disposed.signal.reason);
    await Promise.all(this.#running);
  }

  #open(conversationId: string, job: Job): void {
    const lane: Lane = { waiting: [job] };
    this.#lanes.set(conversationId, lane);
    const running = this.#run(conversationId, lane).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #run(conversationId: string, lane: Lane): Promise<void> {
    // What is dispatched in this turn of the event loop comes along.
    await undefined;
    while (lane.waiting.length > 0) {
      const jobs = takeTogether(lane);
      try {
        const { finished } = await this.#handle(jobs);
        finished.then(
          () => this.#settle(jobs),
          (error: unknown) => this.#settle(jobs, error),
        );
      } catch (error) {
        this.#settle(jobs, error);
      }
    }
    this.#lanes.delete(conversationId);
  }

  #settle(jobs: readonly Job[], error?: unknown): void {
    this.#unfinished -= jobs.length;
    for (const { done } of jobs) {
      if (error === undefined) done.resolve();
      else done.reject(error);
    }
    if (this.#unfinished > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }

  /** Resolves when the next batch of this conversation may go; `finished` when this one is. */
  async #handle(jobs: readonly Job[]): Promise<{ readonly finished: Promise<unknown> }> {
    const { tracer, metrics } = this.#dependencies;
    const entries = entriesOf(jobs);
    const spans = startSpans(tracer, "fanout.inbox", entries);
    const { plan, written } = await this.#write(jobs, entries);
    this.#report(plan);
    await this.#unlessDisposed(written.visible);
    endSpans(spans);
    const waits: Promise<unknown>[] = [written.durable];
    for (const run of plan.runs) {
      const { handedOver } = await this.#deliver(plan.conversation.conversationId, run);
      waits.push(handedOver);
    }
    for (const { arrivedMs } of jobs) metrics.dispatched(performance.now() - arrivedMs);
    return { finished: Promise.all(waits) };
  }

  #report({ conversation, missingSeq, missingVersion }: Plan): void {
    const { onMissing, onMissingChange } = this.#dependencies;
    const { conversationId } = conversation;
    if (missingSeq !== undefined) onMissing(conversationId, missingSeq);
    if (missingVersion !== undefined) onMissingChange(conversationId, missingVersion);
  }

  /** Writes what the entries mean. An error of the store is retried: an entry is never skipped. */
  async #write(
    jobs: readonly Job[],
    entries: readonly FanoutEntry[],
  ): Promise<{ readonly plan: Plan; readonly written: Written }> {
    const { store, log } = this.#dependencies;
    let backoff: Backoff | undefined;
    const { conversationId, kind, directUserIds } = (jobs[0] as Job).batch;
    for (;;) {
      try {
        const known = await store.readConversation(conversationId);
        const plan = planEntries(known, { conversationId, kind, directUserIds, entries });
        const { conversation, rows } = plan;
        if (conversation.members.version === 0n && conversation.members.userIds.length === 0) {
          log.error({ conversation_id: conversationId }, "A conversation has no known members.");
        }
        return { plan, written: store.write({ conversationId, conversation, rows }) };
      } catch (error) {
        log.error(
          { conversation_id: conversationId, error },
          "An inbox was not written; retrying.",
        );
      }
      backoff ??= createBackoff({ initialMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
      await sleep(backoff.next(), this.#disposed.signal);
    }
  }

  /** A store may wait for its disk or its servers for hours, which must not hold up the end. */
  async #unlessDisposed(visible: Promise<void>): Promise<void> {
    this.#disposed.signal.throwIfAborted();
    const wait = createDeferred<void>();
    this.#waits.add(wait);
    visible.then(wait.resolve);
    await wait.promise;
    this.#waits.delete(wait);
  }

  /** Resolves when the run is in the gateways' queues; `handedOver` when they have taken it. */
  async #deliver(
    conversationId: string,
    { entries, userIds }: Run,
  ): Promise<{ readonly handedOver: Promise<void> }> {
    const { tracer, locator, deliverer } = this.#dependencies;
    const lookUpSpans = startSpans(tracer, "fanout.lookup", entries);
    const located = await locator.locate(userIds);
    endSpans(lookUpSpans);
    const spans = startSpans(tracer, "fanout.deliver", entries);
    const events = toEvents(entries, spans);
    const handedOver = deliverer.hand({ conversationId, events, userIds }, located);
    if (spans.length > 0) void handedOver.then(() => endSpans(spans));
    return { handedOver };
  }
}

/** Takes batches off the lane, up to ENTRIES_TOGETHER_MAX entries; at least one. */
function takeTogether(lane: Lane): Job[] {
  let count = 0;
  let entryCount = 0;
  for (const { batch } of lane.waiting) {
    entryCount += batch.entries.length;
    if (count > 0 && entryCount > ENTRIES_TOGETHER_MAX) break;
    count++;
  }
  if (count < lane.waiting.length) return lane.waiting.splice(0, count);
  const jobs = lane.waiting;
  lane.waiting = [];
  return jobs;
}

function entriesOf(jobs: readonly Job[]): readonly FanoutEntry[] {
  if (jobs.length === 1) return jobs[0]?.batch.entries ?? [];
  return jobs.flatMap(({ batch }) => batch.entries);
}

/** The events as they go out; the gateway's span becomes a child of ours. */
function toEvents(entries: readonly FanoutEntry[], spans: readonly Span[]): DeliveryEvent[] {
  // Spans are those of the sampled entries, in the same order.
  let next = 0;
  return entries.map(({ seq, event, originSessionId, traceParent: parent }) => {
    const traceParent = parent === "" ? "" : (spans[next++]?.traceParent ?? parent);
    return create(DeliveryEventSchema, { seq, event, originSessionId, traceParent });
  });
}

function stopped(): Error {
  return unavailable("STOPPING", "Fan-out is stopping.");
}
