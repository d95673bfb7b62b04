/** Step 8: direct conversations go to fan-out at once, groups through the log's topic `fanout`. */
import { create, toBinary } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  type FanoutBatch,
  FanoutBatchSchema,
  type FanoutEntry,
} from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import {
  type DispatchBatchesRequest,
  DispatchBatchesRequestSchema,
  type DispatchBatchesResponse,
  FanoutService,
} from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { createDeferred, type Deferred } from "@parley/platform/async/deferred";
import type { TimerClock } from "@parley/platform/clock";
import type { Log } from "@parley/platform/log/port";
import { createBatchStreamClient } from "@parley/platform/rpc/batch-stream";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { Span } from "@parley/platform/telemetry/tracer";
import type { DispatchProgress } from "./dispatch-progress.ts";
import type { ConversationState } from "./domain/conversation.ts";
import { createFanoutLanes, type LaneBatch } from "./fanout-lanes.ts";
import type { MessageMetrics } from "./metrics.ts";
import { orAborted } from "./or-aborted.ts";

export const FANOUT_TOPIC = "fanout";

export type Dispatch = {
  readonly partition: number;
  readonly state: ConversationState;
  readonly entries: readonly FanoutEntry[];
  /** Where the entries' records are closed when they have arrived. */
  readonly progress: DispatchProgress;
};

export type Dispatcher = AsyncDisposable & {
  /** Takes entries and brings them to fan-out, however often that takes. */
  dispatch(dispatch: Dispatch): void;
  /** Resolves while there is room for more; otherwise waits until there is, or the dispatcher is disposed of. */
  room(): Promise<void>;
  /** Resolves when everything has arrived, or the signal aborts. */
  idle(signal: AbortSignal): Promise<void>;
  /** Entries that have not arrived. */
  readonly pending: number;
};

export type DispatcherDependencies = {
  readonly log: Pick<Log, "append">;
  readonly fanout: Transport;
  readonly clock: TimerClock;
  readonly telemetry: Pick<Telemetry, "log" | "tracer">;
  readonly metrics: MessageMetrics;
  /** Entries that may wait for fan-out before consumption pauses. */
  readonly entriesMax: number;
  /** Bytes of their events. */
  readonly bytesMax: number;
};

/** Below what the stream may leave unanswered, so that it never refuses us. */
const DIRECT_BATCHES_OUT_MAX = 1000;
/** Records on their way into the log. */
const GROUP_BATCHES_OUT_MAX = 1000;
/** One line for this many failures of a conversation: the first says what is wrong, later ones that it still is. */
const FAILURES_PER_REPORT = 20;

export function createDispatcher(dependencies: DispatcherDependencies): Dispatcher {
  return new LaneDispatcher(dependencies);
}

type Pending = {
  readonly progress: DispatchProgress;
  readonly sinceMs: number;
  span: Span | undefined;
};

class LaneDispatcher implements Dispatcher {
  readonly #dependencies: DispatcherDependencies;
  readonly #stream;
  readonly #direct;
  readonly #groups;
  /** By entry: where it is closed. Entries are objects of ours, and leave with their lane. */
  readonly #pending = new Map<FanoutEntry, Pending>();
  #room: Deferred<void> | undefined;
  #idle: Deferred<void> | undefined;
  #disposed = false;

  constructor(dependencies: DispatcherDependencies) {
    this.#dependencies = dependencies;
    const { clock, log } = dependencies;
    this.#stream = createStream(dependencies);
    const shared = {
      clock,
      onSent: (batch: LaneBatch) => this.#arrived(batch),
      onFailed: (batch: LaneBatch, error: unknown, attempt: number) =>
        this.#failed(batch, error, attempt),
    };
    this.#direct = createFanoutLanes({
      ...shared,
      batchesOutMax: DIRECT_BATCHES_OUT_MAX,
      // One stream keeps their order; its answers take until gateways have the events, too long to wait for.
      batchesOutPerLaneMax: DIRECT_BATCHES_OUT_MAX,
      send: (batch) => this.#stream.call(toFanoutBatch(batch)),
    });
    this.#groups = createFanoutLanes({
      ...shared,
      batchesOutMax: GROUP_BATCHES_OUT_MAX,
      // A log may refuse one append and take the next, and Kafka may put a repeated one behind others: a group's
      // changes of members must not change places.
      batchesOutPerLaneMax: 1,
      send: (batch) =>
        log.append(
          FANOUT_TOPIC,
          batch.partition,
          toBinary(FanoutBatchSchema, toFanoutBatch(batch)),
        ),
    });
  }

  get pending(): number {
    return this.#direct.entries + this.#groups.entries;
  }

  dispatch({ partition, state, entries, progress }: Dispatch): void {
    const sinceMs = performance.now();
    for (const entry of entries) {
      this.#pending.set(entry, { progress, sinceMs, span: this.#startSpan(entry) });
    }
    const lanes = state.kind === ConversationKind.DIRECT ? this.#direct : this.#groups;
    lanes.add({ partition, state, entries });
  }

  async room(): Promise<void> {
    if (this.#disposed || this.#hasRoom()) return;
    this.#room ??= createDeferred<void>();
    await this.#room.promise;
  }

  async idle(signal: AbortSignal): Promise<void> {
    if (this.pending === 0 || signal.aborted) return;
    this.#idle ??= createDeferred<void>();
    await orAborted(this.#idle.promise, signal).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#direct[Symbol.dispose]();
    this.#groups[Symbol.dispose]();
    this.#room?.resolve();
    this.#idle?.resolve();
    await this.#stream[Symbol.asyncDispose]();
    for (const { span } of this.#pending.values()) span?.end();
    this.#pending.clear();
  }

  #hasRoom(): boolean {
    const { entriesMax, bytesMax } = this.#dependencies;
    return this.pending < entriesMax && this.#direct.bytes + this.#groups.bytes < bytesMax;
  }

  /** Fan-out's own spans become children of this one. */
  #startSpan(entry: FanoutEntry): Span | undefined {
    if (entry.traceParent === "") return undefined;
    const { tracer } = this.#dependencies.telemetry;
    const span = tracer.startSpan("message.dispatch", {
      parent: entry.traceParent,
      kind: "producer",
    });
    if (!span.recording) return undefined;
    entry.traceParent = span.traceParent ?? entry.traceParent;
    return span;
  }

  #arrived(batch: LaneBatch): void {
    const { metrics } = this.#dependencies;
    let sinceMs: number | undefined;
    for (const entry of batch.entries) {
      const pending = this.#pending.get(entry);
      if (pending === undefined) continue;
      this.#pending.delete(entry);
      pending.progress.close(Number(entry.offset));
      pending.span?.end();
      sinceMs ??= pending.sinceMs;
    }
    if (sinceMs !== undefined) metrics.dispatchLag.observe((performance.now() - sinceMs) / 1000);
    if (this.#room !== undefined && this.#hasRoom()) {
      this.#room.resolve();
      this.#room = undefined;
    }
    if (this.#idle !== undefined && this.pending === 0) {
      this.#idle.resolve();
      this.#idle = undefined;
    }
  }

  #failed(batch: LaneBatch, error: unknown, attempt: number): void {
    const { metrics, telemetry } = this.#dependencies;
    metrics.dispatchFailures.inc();
    if (attempt % FAILURES_PER_REPORT !== 1) return;
    const { conversationId } = batch.state;
    telemetry.log.warn(
      { conversation_id: conversationId, partition: batch.partition, attempt, error },
      "A dispatch to fan-out failed and is repeated.",
    );
  }
}

function toFanoutBatch(batch: LaneBatch): FanoutBatch {
  const { conversationId, kind, directUserIds } = batch.state;
  return create(FanoutBatchSchema, {
    conversationId,
    kind,
    entries: batch.entries as FanoutEntry[],
    directUserIds: directUserIds as string[],
  });
}

function createStream({ fanout, telemetry }: DispatcherDependencies) {
  const client = createClient(FanoutService, fanout);
  return createBatchStreamClient<
    FanoutBatch,
    void,
    DispatchBatchesRequest,
    DispatchBatchesResponse
  >({
    name: "FanoutService.DispatchBatches",
    open: (batches, signal) => client.dispatchBatches(batches, { signal }),
    wrap: (items) =>
      create(DispatchBatchesRequestSchema, {
        items: items.map(({ correlationId, item }) => ({ correlationId, batch: item })),
      }),
    unwrap: (response) =>
      response.correlationIds.map((correlationId) => ({
        correlationId,
        ok: true as const,
        result: undefined,
      })),
    sizeOf: (batch) => batch.entries.reduce((sum, entry) => sum + entry.event.byteLength, 0),
    // What waits is bounded by `bytesMax`. A refused call would let the next one of its conversation overtake it.
    bytesInFlightMax: Number.POSITIVE_INFINITY,
    log: telemetry.log,
  });
}
