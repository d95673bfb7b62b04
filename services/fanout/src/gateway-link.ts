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
import {
  BATCHES_IN_FLIGHT_MAX,
  createDeliveryQueue,
  type DeliveryBatch,
  TICK_MS,
} from "./delivery-queue.ts";

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
   * the stream broke is sent again, in order; an ephemeral delivery is not. When a durable one is given up,
   * the next batch names its people, also if there is nothing else to send, until the gateway acknowledges it.
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
  /** Some of those whom the gateway has yet to be told that they missed something; empty if it knows of all. */
  readonly missedUserIds: readonly string[];
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
/**
 * How long a gateway that stood still may take to see that a stream was ended, before it is broken off: after
 * that the registry, too, has forgotten its sessions.
 */
const LEFT_MS_MAX = 30_000;
/** The same when the link is disposed of, which nobody wants to wait for. */
const DISPOSE_MS_MAX = 1000;

/**
 * Creates the link; the stream is opened by the first delivery. Disposing it gives up what is queued. The
 * stream is then ended, or, when the gateway has not acknowledged whom deliveries were given up for, broken
 * off, upon which the gateway catches up all its sessions.
 */
export function createGatewayLink(options: GatewayLinkOptions): GatewayLink {
  return new Link(options);
}

type Stream = {
  readonly batches: AsyncQueue<DeliverBatchesRequest>;
  readonly abort: AbortController;
  /** Resolved when the stream is left to its end: what it still answers means nothing any more. */
  readonly left: Deferred<void>;
};

class Link implements GatewayLink {
  readonly #options: GatewayLinkOptions;
  readonly #client: Client<typeof DeliveryService>;
  readonly #queue: ReturnType<typeof createDeliveryQueue>;
  readonly #disposed = new AbortController();
  #idleTicks = 0;
  #ticker: Timer | undefined;
  #flushScheduled = false;
  /** The open stream; undefined while there is none. */
  #stream: Stream | undefined;
  /** Streams that were left and have not ended; one in GIVE_UP_MS at most. */
  readonly #ending = new Map<Stream, Promise<void>>();
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

  get missedUserIds(): readonly string[] {
    return this.#queue.missedUserIds;
  }

  deliver(delivery: Delivery, bytes: number, onHandedOver: () => void): void {
    this.#idleTicks = 0;
    const { aborted } = this.#disposed.signal;
    if (aborted || !this.#queue.add(delivery, bytes, onHandedOver)) {
      this.#options.observer.onGivenUp(delivery);
      onHandedOver();
    }
    if (aborted) return;
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
    this.#queue.clear();
    this.#disposed.abort();
    this.#ticker?.cancel();
    this.#wanted.resolve();
    const owed = this.#queue.missedUserIds.length > 0;
    if (owed) this.#stream?.abort.abort();
    else this.#leaveStream();
    await this.#running;
    const timeout = setTimeout(() => this.#breakOff(), owed ? 0 : DISPOSE_MS_MAX);
    await Promise.all(this.#ending.values());
    clearTimeout(timeout);
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
      batches.push(toRequest(batch));
      batch = this.#queue.takeBatch();
    }
  }

  /** Keeps a stream open while there is something to send. */
  async #run(): Promise<void> {
    const { signal } = this.#disposed;
    const backoff = createBackoff({ initialMs: RECONNECT_MIN_MS, maxMs: RECONNECT_MAX_MS });
    while (!signal.aborted) {
      if (!this.#queue.waiting) {
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

  /** Resolves when the stream is left or has ended; rejects when it breaks. */
  async #runStream(onAcknowledged: () => void): Promise<void> {
    const batches = createAsyncQueue<DeliverBatchesRequest>({ max: BATCHES_IN_FLIGHT_MAX });
    const stream = { batches, abort: new AbortController(), left: createDeferred<void>() };
    this.#stream = stream;
    const ended = this.#read(stream, onAcknowledged);
    this.#scheduleFlush();
    try {
      await Promise.race([ended, stream.left.promise]);
    } finally {
      if (this.#stream === stream) this.#stream = undefined;
      batches.clear();
      this.#awaitEnd(stream, ended);
    }
  }

  /** Takes acknowledgements until the stream ends. */
  async #read(stream: Stream, onAcknowledged: () => void): Promise<void> {
    const { signal } = stream.abort;
    for await (const response of this.#client.deliverBatches(stream.batches, { signal })) {
      if (this.#stream !== stream) continue;
      onAcknowledged();
      this.#queue.acknowledge(response.batchNumber);
      const { absentUserIds } = response;
      if (absentUserIds.length > 0) this.#options.observer.onLeft(absentUserIds);
      if (this.#queue.waiting) this.#scheduleFlush();
      this.#noteEmpty();
    }
  }

  /** Ends the stream and does not wait for it: the next one may be opened. */
  #leaveStream(): void {
    this.#stream?.left.resolve();
    this.#stream?.batches.clear();
    this.#stream = undefined;
  }

  #breakOff(): void {
    for (const stream of this.#ending.keys()) stream.abort.abort();
  }

  #awaitEnd(stream: Stream, ended: Promise<void>): void {
    const timer = this.#options.clock.setTimer(LEFT_MS_MAX, () => stream.abort.abort());
    const ending = ended
      .catch(() => undefined)
      .finally(() => {
        timer.cancel();
        this.#ending.delete(stream);
      });
    this.#ending.set(stream, ending);
  }

  #setTicker(): void {
    this.#ticker = this.#options.clock.setTimer(TICK_MS, () => {
      this.#idleTicks = this.#queue.depth > 0 ? 0 : this.#idleTicks + 1;
      // It took nothing for as long as a dead one: what else is on its way is sent again, on another stream.
      if (this.#queue.tick()) this.#leaveStream();
      if (this.#queue.waiting) this.#scheduleFlush();
      this.#noteEmpty();
      if (!this.#disposed.signal.aborted) this.#setTicker();
    });
  }
}

function toRequest({ batchNumber, deliveries, missed }: DeliveryBatch): DeliverBatchesRequest {
  const everybodyMissed = missed?.everybody === true;
  return create(DeliverBatchesRequestSchema, {
    batchNumber,
    deliveries: [...deliveries],
    missedUserIds: everybodyMissed ? [] : [...(missed?.userIds ?? [])],
    everybodyMissed,
  });
}
