/** The long-lived stream to one gateway: numbered batches out, acknowledgements back. */
import { create } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import {
  type DeliverBatchesRequest,
  DeliverBatchesRequestSchema,
  type Delivery,
  DeliveryService,
} from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { createBackoff } from "@parley/platform/async/backoff";
import { createDeferred, type Deferred } from "@parley/platform/async/deferred";
import { type AsyncQueue, createAsyncQueue } from "@parley/platform/async/queue";
import { sleep } from "@parley/platform/async/sleep";
import type { Timer, TimerClock } from "@parley/platform/clock";
import type { Logger } from "@parley/platform/telemetry/logger";
import { BATCHES_IN_FLIGHT_MAX, createDeliveryQueue, TICK_MS } from "./delivery-queue.ts";

/** Hears what became of deliveries. Must neither throw nor wait. */
export type LinkObserver = {
  /** People of an acknowledged batch who had left the gateway. */
  onLeft(userIds: readonly string[]): void;
  /** A delivery that the gateway did not take in time, or for which there was no room. */
  onGivenUp(delivery: Delivery): void;
};

export type GatewayLink = AsyncDisposable & {
  /**
   * Queues a delivery behind those before it. `onHandedOver` is called exactly once: when the gateway has
   * acknowledged it, when it is given up (GIVE_UP_MS), or after HANDOVER_WAIT_MS. What was on its way when
   * the stream broke is sent again, in order; an ephemeral delivery is not.
   */
  deliver(delivery: Delivery, bytes: number, onHandedOver: () => void): void;
  /** Ends the sessions of a person's devices; rejects when the gateway does not answer. */
  endSessions(userId: string, deviceIds: readonly string[], timeoutMs: number): Promise<void>;
  /** Resolves when nothing is queued any more, because it was taken or given up. */
  empty(): Promise<void>;
  /** Deliveries without an acknowledgement. */
  readonly depth: number;
  /** How long nothing was delivered and nothing waited, to a quarter of a second. */
  readonly idleMs: number;
};

export type GatewayLinkOptions = {
  readonly gatewayId: string;
  readonly transport: Transport;
  readonly clock: TimerClock;
  readonly log: Logger;
  readonly observer: LinkObserver;
};

/** Pauses before a lost stream is opened again. */
const RECONNECT_MIN_MS = 50;
const RECONNECT_MAX_MS = 1000;

/** Creates the link; the stream is opened by the first delivery. Disposing it gives up what is queued. */
export function createGatewayLink(options: GatewayLinkOptions): GatewayLink {
  return new Link(options);
}

class Link implements GatewayLink {
  readonly #options: GatewayLinkOptions;
  readonly #client: Client<typeof DeliveryService>;
  readonly #queue: ReturnType<typeof createDeliveryQueue>;
  readonly #disposed = new AbortController();
  #idleTicks = 0;
  #ticker: Timer | undefined;
  #flushScheduled = false;
  /** The open stream; undefined while there is none. */
  #stream: { batches: AsyncQueue<DeliverBatchesRequest>; abort: AbortController } | undefined;
  #running: Promise<void> | undefined;
  /** Resolved when there is something to send and no stream. */
  #wanted = createDeferred<void>();
  #emptied: Deferred<void> | undefined;

  constructor(options: GatewayLinkOptions) {
    this.#options = options;
    this.#client = createClient(DeliveryService, options.transport);
    this.#queue = createDeliveryQueue((delivery) => options.observer.onGivenUp(delivery));
    this.#setTicker();
  }

  get depth(): number {
    return this.#queue.depth;
  }

  get idleMs(): number {
    return this.#idleTicks * TICK_MS;
  }

  deliver(delivery: Delivery, bytes: number, onHandedOver: () => void): void {
    this.#idleTicks = 0;
    if (this.#disposed.signal.aborted || !this.#queue.add(delivery, bytes, onHandedOver)) {
      this.#options.observer.onGivenUp(delivery);
      onHandedOver();
      return;
    }
    this.#running ??= this.#run();
    this.#scheduleFlush();
  }

  async endSessions(
    userId: string,
    deviceIds: readonly string[],
    timeoutMs: number,
  ): Promise<void> {
    await this.#client.endSessions({ userId, deviceIds: [...deviceIds] }, { timeoutMs });
  }

  async empty(): Promise<void> {
    // Age ends this wait at the latest: what is not taken is given up.
    while (this.#queue.depth > 0) {
      this.#emptied ??= createDeferred();
      await this.#emptied.promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort();
    this.#ticker?.cancel();
    this.#wanted.resolve();
    this.#stream?.abort.abort();
    await this.#running;
    this.#queue.clear();
    this.#noteEmpty();
  }

  #noteEmpty(): void {
    if (this.#queue.depth > 0) return;
    this.#emptied?.resolve();
    this.#emptied = undefined;
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    // What one turn of the event loop produces travels together.
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const batches = this.#stream?.batches;
    if (batches === undefined) {
      this.#wanted.resolve();
      return;
    }
    for (let batch = this.#queue.takeBatch(); batch !== undefined; ) {
      const { batchNumber, deliveries } = batch;
      const request = { batchNumber, deliveries: [...deliveries] };
      batches.push(create(DeliverBatchesRequestSchema, request));
      batch = this.#queue.takeBatch();
    }
  }

  /** Keeps a stream open while there is something to send. */
  async #run(): Promise<void> {
    const { signal } = this.#disposed;
    const backoff = createBackoff({ initialMs: RECONNECT_MIN_MS, maxMs: RECONNECT_MAX_MS });
    while (!signal.aborted) {
      if (this.#queue.depth === 0) {
        this.#wanted = createDeferred();
        await this.#wanted.promise;
        continue;
      }
      try {
        await this.#runStream(() => backoff.reset());
      } catch (error) {
        const { gatewayId, log } = this.#options;
        if (!signal.aborted) {
          log.warn({ gateway_id: gatewayId, error }, "The stream to a gateway was lost.");
        }
      }
      this.#queue.takeBack();
      if (!signal.aborted) await sleep(backoff.next(), signal).catch(() => undefined);
    }
  }

  async #runStream(onAcknowledged: () => void): Promise<void> {
    const abort = new AbortController();
    const batches = createAsyncQueue<DeliverBatchesRequest>({ max: BATCHES_IN_FLIGHT_MAX });
    this.#stream = { batches, abort };
    try {
      const responses = this.#client.deliverBatches(batches, { signal: abort.signal });
      this.#scheduleFlush();
      for await (const { batchNumber, absentUserIds } of responses) {
        onAcknowledged();
        this.#queue.acknowledge(batchNumber);
        if (absentUserIds.length > 0) this.#options.observer.onLeft(absentUserIds);
        if (this.#queue.waiting > 0) this.#scheduleFlush();
        this.#noteEmpty();
      }
    } finally {
      this.#stream = undefined;
      batches.clear();
      abort.abort();
    }
  }

  #setTicker(): void {
    this.#ticker = this.#options.clock.setTimer(TICK_MS, () => {
      this.#idleTicks = this.#queue.depth > 0 ? 0 : this.#idleTicks + 1;
      // It took nothing for as long as a dead one: what else is on its way is sent again.
      if (this.#queue.tick()) this.#stream?.abort.abort();
      this.#noteEmpty();
      if (!this.#disposed.signal.aborted) this.#setTicker();
    });
  }
}
