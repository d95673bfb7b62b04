/** The calling end of a batch stream. */

import { createBackoff } from "../async/backoff.ts";
import { type AsyncQueue, createAsyncQueue } from "../async/queue.ts";
import { sleep } from "../async/sleep.ts";
import { deadlineExceeded, fromUnknown, resourceExhausted, unavailable } from "../errors.ts";
import { createSilentLogger, type Logger } from "../telemetry/logger.ts";
import { BATCH_ITEMS_IN_FLIGHT_MAX, BATCH_ITEMS_MAX, type BatchOutcome } from "./batch-outcome.ts";

export type BatchStreamClientOptions<Item, Result, Batch, BatchResponse> = {
  /** Names the stream in logs and refusals. */
  readonly name: string;
  /** Opens the stream; the signal aborts when the client is disposed. */
  readonly open: (
    batches: AsyncIterable<Batch>,
    signal: AbortSignal,
  ) => AsyncIterable<BatchResponse>;
  /** Puts items into one batch, in the order of their calls. */
  readonly wrap: (
    items: readonly { readonly correlationId: bigint; readonly item: Item }[],
  ) => Batch;
  /** The outcomes in a response. */
  readonly unwrap: (response: BatchResponse) => Iterable<BatchOutcome<Result>>;
  /** Encoded size of an item, roughly, in bytes; for the bound. Default: items count as 0. */
  readonly sizeOf?: (item: Item) => number;
  /** Unanswered items; more are refused. Default 1,024. */
  readonly itemsInFlightMax?: number;
  /** Bytes of unanswered items; more are refused. Default 32 MiB. */
  readonly bytesInFlightMax?: number;
  /** Items of one batch; default 256. */
  readonly itemsPerBatchMax?: number;
  /** Time for an item's answer, in ms; default 10,000. */
  readonly itemTimeoutMs?: number;
  readonly log?: Logger;
};

export type BatchStreamClient<Item, Result> = AsyncDisposable & {
  /**
   * Sends an item and resolves with its result, or rejects with its refusal. `RESOURCE_EXHAUSTED` /
   * `TOO_MANY_IN_FLIGHT`: not sent. `UNAVAILABLE` / `STREAM_LOST` and `DEADLINE_EXCEEDED`: the outcome
   * is unknown, and the caller repeats with the same idempotency key.
   */
  call(item: Item): Promise<Result>;
  /** Items without an answer. */
  readonly inFlight: number;
};

const BYTES_IN_FLIGHT_MAX = 32 * 1024 * 1024;
const ITEM_TIMEOUT_MS = 10_000;
/** Late items are looked for this often: the deadline of an item is this exact and costs no timer of its own. */
const SWEEP_MS = 250;
const RECONNECT_INITIAL_MS = 50;
const RECONNECT_MAX_MS = 2000;

/**
 * Creates the client. The stream is opened by the first call and opened again, with backoff, when it is
 * lost; a call made while it is down waits for the next attempt, and is rejected when that fails too.
 */
export function createBatchStreamClient<Item, Result, Batch, BatchResponse>(
  options: BatchStreamClientOptions<Item, Result, Batch, BatchResponse>,
): BatchStreamClient<Item, Result> {
  return new StreamClient(options);
}

type Pending<Item, Result> = {
  readonly correlationId: bigint;
  readonly item: Item;
  readonly bytes: number;
  readonly expireTimeMs: number;
  resolve(result: Result): void;
  reject(error: Error): void;
};

class StreamClient<Item, Result, Batch, BatchResponse> implements BatchStreamClient<Item, Result> {
  readonly #options: BatchStreamClientOptions<Item, Result, Batch, BatchResponse>;
  readonly #log: Logger;
  readonly #itemsInFlightMax: number;
  readonly #bytesInFlightMax: number;
  readonly #itemTimeoutMs: number;
  readonly #disposed = new AbortController();
  // Insertion order is order of expiry, because every item has the same time.
  readonly #pending = new Map<bigint, Pending<Item, Result>>();
  #unsent: Pending<Item, Result>[] = [];
  #bytes = 0;
  #nextId = 1n;
  #flushScheduled = false;
  #batches: AsyncQueue<Batch> | undefined;
  // Set before the stream is opened, which itself flushes what is unsent.
  #started = false;
  #running: Promise<void> | undefined;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: BatchStreamClientOptions<Item, Result, Batch, BatchResponse>) {
    this.#options = options;
    this.#log = options.log ?? createSilentLogger();
    this.#itemsInFlightMax = options.itemsInFlightMax ?? BATCH_ITEMS_IN_FLIGHT_MAX;
    this.#bytesInFlightMax = options.bytesInFlightMax ?? BYTES_IN_FLIGHT_MAX;
    this.#itemTimeoutMs = options.itemTimeoutMs ?? ITEM_TIMEOUT_MS;
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  call(item: Item): Promise<Result> {
    if (this.#disposed.signal.aborted) return Promise.reject(this.#lost());
    const bytes = this.#options.sizeOf?.(item) ?? 0;
    const full =
      this.#pending.size >= this.#itemsInFlightMax ||
      (this.#bytes + bytes > this.#bytesInFlightMax && this.#pending.size > 0);
    if (full) {
      const text = `Too many calls to ${this.#options.name} are unanswered.`;
      return Promise.reject(resourceExhausted("TOO_MANY_IN_FLIGHT", text));
    }
    return new Promise((resolve, reject) => {
      const correlationId = this.#nextId++;
      const expireTimeMs = performance.now() + this.#itemTimeoutMs;
      const pending = { correlationId, item, bytes, expireTimeMs, resolve, reject };
      this.#pending.set(correlationId, pending);
      this.#bytes += bytes;
      this.#unsent.push(pending);
      this.#scheduleFlush();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort();
    this.#batches?.close();
    this.#rejectAll(this.#lost());
    clearInterval(this.#sweeper);
    await this.#running;
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#unsent.length === 0 || this.#disposed.signal.aborted) return;
    if (!this.#started) {
      this.#started = true;
      this.#running = this.#run();
    }
    const { itemsPerBatchMax = BATCH_ITEMS_MAX, wrap } = this.#options;
    const batches = this.#batches;
    if (batches === undefined) return;
    const unsent = this.#unsent;
    this.#unsent = [];
    for (let start = 0; start < unsent.length; start += itemsPerBatchMax) {
      const part = unsent.slice(start, start + itemsPerBatchMax);
      if (batches.push(wrap(part))) continue;
      // The stream takes nothing any more, and items that timed out still wait in front of it.
      for (const { correlationId } of part) this.#take(correlationId)?.reject(this.#lost());
    }
  }

  /** Keeps a stream open until disposed. */
  async #run(): Promise<void> {
    const backoff = createBackoff({ initialMs: RECONNECT_INITIAL_MS, maxMs: RECONNECT_MAX_MS });
    const { signal } = this.#disposed;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#sweeper.unref();
    while (!signal.aborted) {
      try {
        await this.#runOnce(() => backoff.reset());
      } catch (error) {
        if (!signal.aborted) {
          this.#log.warn({ stream: this.#options.name, error }, "A batch stream was lost.");
        }
      }
      this.#batches = undefined;
      this.#rejectAll(this.#lost());
      if (signal.aborted) return;
      await sleep(backoff.next(), signal).catch(() => undefined);
    }
  }

  async #runOnce(onResponse: () => void): Promise<void> {
    const { open, unwrap } = this.#options;
    const batches = createAsyncQueue<Batch>({ max: this.#itemsInFlightMax });
    this.#batches = batches;
    try {
      const responses = open(batches, this.#disposed.signal);
      this.#flush();
      for await (const response of responses) {
        onResponse();
        for (const outcome of unwrap(response)) this.#settle(outcome);
      }
    } finally {
      batches.clear();
    }
  }

  #settle(outcome: BatchOutcome<Result>): void {
    const pending = this.#take(outcome.correlationId);
    if (pending === undefined) return;
    if (outcome.ok) pending.resolve(outcome.result);
    else pending.reject(fromUnknown(outcome.error));
  }

  #take(correlationId: bigint): Pending<Item, Result> | undefined {
    const pending = this.#pending.get(correlationId);
    if (pending === undefined) return undefined;
    this.#pending.delete(correlationId);
    this.#bytes -= pending.bytes;
    return pending;
  }

  #rejectAll(error: Error): void {
    this.#unsent = [];
    for (const { correlationId } of [...this.#pending.values()]) {
      this.#take(correlationId)?.reject(error);
    }
  }

  #sweep(): void {
    const nowMs = performance.now();
    let late = 0;
    for (const pending of this.#pending.values()) {
      if (pending.expireTimeMs > nowMs) break;
      this.#take(pending.correlationId)?.reject(deadlineExceeded());
      late++;
    }
    if (late === 0) return;
    this.#unsent = this.#unsent.filter(({ correlationId }) => this.#pending.has(correlationId));
  }

  #lost(): Error {
    return unavailable("STREAM_LOST", `The stream to ${this.#options.name} was lost.`);
  }
}
