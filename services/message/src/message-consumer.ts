/**
 * The consumer of topic `messages`: applies what the log brings, makes it readable, answers those who wait
 * for it, and hands it on to fan-out. Partitions come and go; one batch of a partition at a time.
 */

import type { Clock } from "@parley/platform/clock";
import type { Health } from "@parley/platform/health";
import type { Log, LogBatch, LogConsumer } from "@parley/platform/log/port";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { Span } from "@parley/platform/telemetry/tracer";
import { type AppliedBatch, applyBatch } from "./batch-applier.ts";
import type { RecordOutcome } from "./batch-work.ts";
import {
  beginPartition,
  type ConsumedPartition,
  offsetsToDispatch,
  replayOffsetOf,
} from "./consumed-partition.ts";
import type { ConversationCache } from "./conversation-cache.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { RULES, type Rules } from "./domain/rules.ts";
import type { MessageMetrics } from "./metrics.ts";
import { orAborted } from "./or-aborted.ts";
import type { OutcomeWaiters } from "./outcome-waiters.ts";
import type { PartitionAnnouncer } from "./partition-announcer.ts";
import type { MessageStore } from "./ports.ts";

export const MESSAGES_TOPIC = "messages";
const GROUP = "message";

export type MessageConsumerDependencies = {
  readonly log: Log;
  readonly store: MessageStore;
  readonly cache: ConversationCache;
  readonly waiters: OutcomeWaiters;
  readonly dispatcher: Dispatcher;
  readonly metrics: MessageMetrics;
  readonly telemetry: Pick<Telemetry, "log" | "tracer">;
  readonly clock: Clock;
  readonly health?: Health | undefined;
  /** Told which partitions are applied here; nobody where there is one instance only. */
  readonly announcer?: Pick<PartitionAnnouncer, "taken" | "released"> | undefined;
  /** Default: the rules of this version. */
  readonly rules?: Rules;
};

export type MessageConsumer = AsyncDisposable & {
  /**
   * Resolves when everything is applied that the log held when consumption began: what was acknowledged
   * before a crash can be read from then on. A partition that stands still is not waited for.
   */
  readonly caughtUp: Promise<void>;
  /** Keeps checkpoints that have grown without a batch to carry them; called from time to time. */
  saveCheckpoints(): void;
};

/** A record needs rules that this process does not have. */
export class RulesVersionError extends Error {
  override readonly name = "RulesVersionError";
}

/** Starts consuming. Rejects when the log and the store do not belong together. */
export async function startMessageConsumer(
  dependencies: MessageConsumerDependencies,
): Promise<MessageConsumer> {
  const consumer = new Consumer(dependencies);
  await consumer.start();
  return consumer;
}

class Consumer implements MessageConsumer {
  readonly #dependencies: MessageConsumerDependencies;
  readonly #partitions = new Map<number, ConsumedPartition>();
  readonly #caughtUp = Promise.withResolvers<void>();
  readonly #stopping = new AbortController();
  #consumer: LogConsumer | undefined;

  constructor(dependencies: MessageConsumerDependencies) {
    this.#dependencies = dependencies;
  }

  async start(): Promise<void> {
    this.#consumer = await this.#dependencies.log.consume({
      topic: MESSAGES_TOPIC,
      group: GROUP,
      onAssigned: (partition) => this.#assign(partition),
      onBatch: (batch) => this.#handle(batch),
      onRevoked: async (partition) => this.#revoke(partition, "The partition moved away."),
    });
    this.#checkCaughtUp();
  }

  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }

  saveCheckpoints(): void {
    const { store } = this.#dependencies;
    for (const held of this.#partitions.values()) {
      const replayOffset = replayOffsetOf(held.progress, held.nextOffset);
      if (replayOffset <= held.savedOffset) continue;
      held.savedOffset = replayOffset;
      const { partition, nextOffset } = held;
      const checkpoint = { replayOffset, endOffset: nextOffset };
      const written = store.write({ partition, conversations: [], parked: [], checkpoint });
      written.readable.catch((error: unknown) => this.#reportStore(error));
      this.#commitAfter(written.durable, held, replayOffset);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A batch that waits for a store without room would hold up the end for as long as the disk is full.
    this.#stopping.abort();
    await this.#consumer?.[Symbol.asyncDispose]();
    this.saveCheckpoints();
    for (const partition of [...this.#partitions.keys()]) {
      this.#revoke(partition, "The service stops.");
    }
  }

  async #assign(partition: number): Promise<number> {
    const { log, store, waiters } = this.#dependencies;
    const range = await log.range(MESSAGES_TOPIC, partition);
    const checkpoint = await store.loadCheckpoint(partition);
    const held = beginPartition(partition, range, checkpoint);
    this.#partitions.set(partition, held);
    waiters.open(partition);
    this.#dependencies.announcer?.taken(partition);
    return held.nextOffset;
  }

  #checkCaughtUp(): void {
    if (this.#consumer === undefined) return;
    for (const { nextOffset, targetOffset, stopped } of this.#partitions.values()) {
      if (nextOffset < targetOffset && !stopped) return;
    }
    this.#caughtUp.resolve();
  }

  #revoke(partition: number, reason: string): void {
    const { cache, waiters, health } = this.#dependencies;
    this.#partitions.delete(partition);
    cache.dropPartition(partition);
    waiters.close(partition, reason);
    this.#dependencies.announcer?.released(partition);
    health?.remove(componentOf(partition));
  }

  async #handle(batch: LogBatch): Promise<void> {
    const held = this.#partitions.get(batch.partition);
    if (held === undefined) return;
    // After a rejection the log brings the same records again, also those that were applied.
    const records = batch.records.filter(({ offset }) => offset >= held.nextOffset);
    if (records.length > 0) await this.#apply(held, { ...batch, records });
    await this.#dependencies.dispatcher.room();
  }

  async #apply(held: ConsumedPartition, batch: LogBatch): Promise<void> {
    const { store, metrics, clock, rules = RULES } = this.#dependencies;
    const startTimeMs = clock.nowMs();
    const cached = (conversationId: string) => this.#cached(conversationId);
    const applied = await applyBatch({ store, cached, rules }, batch);
    if (applied.outcomes.length > 0) {
      const spans = this.#startSpans(applied, startTimeMs);
      await this.#write(held, batch, applied, spans);
      this.#publish(held, batch, applied);
      for (const outcome of applied.outcomes) metrics.applied.inc({ outcome: labelOf(outcome) });
      for (const span of spans) span.end();
      if (held.nextOffset >= held.targetOffset) this.#checkCaughtUp();
    }
    if (applied.stoppedBy !== undefined) this.#stop(held, applied.stoppedBy);
    else if (held.stopped) this.#resume(held);
  }

  #cached(conversationId: string) {
    const { cache, metrics } = this.#dependencies;
    const state = cache.get(conversationId);
    metrics.cacheLookups.inc({ result: state === undefined ? "miss" : "hit" });
    return state;
  }

  async #write(
    held: ConsumedPartition,
    batch: LogBatch,
    applied: AppliedBatch,
    spans: readonly Span[],
  ): Promise<void> {
    const { store, telemetry } = this.#dependencies;
    for (const offset of offsetsToDispatch(applied)) held.progress.open(offset);
    const { endOffset, conversations, parked } = applied;
    const replayOffset = replayOffsetOf(held.progress, endOffset);
    const checkpoint = { replayOffset, endOffset };
    const { partition } = batch;
    const stores = spans.map((span) =>
      telemetry.tracer.startSpan("message.store", { parent: span.traceParent }),
    );
    const written = store.write({ partition, conversations, parked, checkpoint });
    this.#commitAfter(written.durable, held, replayOffset);
    try {
      await orAborted(written.readable, this.#stopping.signal);
    } catch (error) {
      this.#reportStore(error);
      throw error;
    } finally {
      for (const span of stores) span.end();
    }
    held.savedOffset = replayOffset;
    held.nextOffset = endOffset;
  }

  /** The writes can be read: whoever waits is answered, and the entries go on. */
  #publish(held: ConsumedPartition, batch: LogBatch, applied: AppliedBatch): void {
    const { cache, waiters, dispatcher, metrics, clock } = this.#dependencies;
    const { partition } = batch;
    // Lost meanwhile: somebody else moves these conversations on, and our states would be old.
    const mine = this.#partitions.get(partition) === held;
    if (mine) {
      for (const { state } of applied.conversations) cache.set(partition, state);
      waiters.settle(partition, batch.records[0]?.offset ?? 0, applied.outcomes);
    }
    for (const { state, entries } of applied.fanout) {
      dispatcher.dispatch({ partition, state, entries, progress: held.progress });
    }
    const last = batch.records[applied.outcomes.length - 1];
    if (last !== undefined) {
      metrics.applyLag.observe(Math.max(0, clock.nowMs() - last.appendTimeMs) / 1000);
    }
    for (const record of applied.parked) {
      const { topic, offset, reason } = record;
      this.#dependencies.telemetry.log.error(
        { topic, partition, offset, reason },
        "A record of the log cannot be decoded; it is parked and skipped.",
      );
    }
  }

  #startSpans(applied: AppliedBatch, startTimeMs: number): readonly Span[] {
    const { tracer } = this.#dependencies.telemetry;
    const spans: Span[] = [];
    for (const record of applied.records) {
      if (!("traceParent" in record) || record.traceParent === "") continue;
      const span = tracer.startSpan("message.apply", {
        parent: record.traceParent,
        kind: "consumer",
        startTimeMs,
      });
      if (span.recording) spans.push(span);
    }
    return spans;
  }

  /** Nothing that replay needs may leave the log before it is on disk here. */
  #commitAfter(durable: Promise<void>, held: ConsumedPartition, replayOffset: number): void {
    durable.then(
      () => {
        if (this.#partitions.get(held.partition) !== held) return;
        this.#consumer?.commit(held.partition, replayOffset);
      },
      // The store was closed first: the next start replays from what is on disk.
      () => undefined,
    );
  }

  #stop(held: ConsumedPartition, rulesVersion: number): never {
    const { health, waiters, telemetry } = this.#dependencies;
    const { partition, nextOffset } = held;
    held.stopped = true;
    this.#checkCaughtUp();
    const text =
      `Partition ${partition} stands still at offset ${nextOffset}: its next record needs version ` +
      `${rulesVersion} of the rules. Finish the deploy of the newer version.`;
    health?.set(componentOf(partition), false, text);
    waiters.close(partition, text);
    telemetry.log.error({ partition, offset: nextOffset, rules_version: rulesVersion }, text);
    throw new RulesVersionError(text);
  }

  #resume(held: ConsumedPartition): void {
    held.stopped = false;
    this.#dependencies.waiters.open(held.partition);
    this.#dependencies.health?.set(componentOf(held.partition), true);
  }

  #reportStore(error: unknown): void {
    // What was given up at the end comes again from the log.
    if (this.#stopping.signal.aborted) return;
    this.#dependencies.telemetry.log.error({ error }, "The message store refused a write.");
  }
}

function componentOf(partition: number): string {
  return `message partition ${partition}`;
}

function labelOf(outcome: RecordOutcome): string {
  return outcome.kind === "accepted" && outcome.duplicate ? "duplicate" : outcome.kind;
}
