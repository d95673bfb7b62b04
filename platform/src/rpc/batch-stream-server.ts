/** The serving end of a batch stream. */
import { createAsyncQueue } from "../async/queue.ts";
import { fromUnknown } from "../errors.ts";
import { BATCH_ITEMS_IN_FLIGHT_MAX, BATCH_ITEMS_MAX, type BatchOutcome } from "./batch-outcome.ts";

export type ServeBatchStreamOptions<Item, Result, Batch, BatchResponse> = {
  /** The items of a batch with their correlation ids. */
  readonly unwrap: (
    batch: Batch,
  ) => Iterable<{ readonly correlationId: bigint; readonly item: Item }>;
  /** Does one item's work; a throw or rejection becomes an outcome with `ok: false`. */
  readonly handleItem: (item: Item) => Result | Promise<Result>;
  /** Puts outcomes into one response. */
  readonly wrap: (outcomes: readonly BatchOutcome<Result>[]) => BatchResponse;
  /** Items being handled or waiting to be sent; above it no batch is read. Default 1,024. */
  readonly itemsInFlightMax?: number;
  /** Outcomes of one response; default 256. */
  readonly itemsPerBatchMax?: number;
  /** No more batches are read when it aborts; the stream ends when the items at work are answered. */
  readonly drainSignal?: AbortSignal | undefined;
};

/**
 * Serves the stream: answers every item, in order of completion, and ends after the caller's end of
 * requests once everything is answered. Reading pauses while too many items are unanswered, so a caller
 * that ignores its own bound costs no memory here.
 */
export async function* serveBatchStream<Item, Result, Batch, BatchResponse>(
  requests: AsyncIterable<Batch>,
  options: ServeBatchStreamOptions<Item, Result, Batch, BatchResponse>,
): AsyncGenerator<BatchResponse> {
  const { wrap, itemsPerBatchMax = BATCH_ITEMS_MAX } = options;
  const server = new BatchServer(options);
  const reading = server.read(requests);
  reading.catch(() => undefined);
  try {
    for await (const _ of server.wakeUps) {
      for (let done = server.take(itemsPerBatchMax); done.length > 0; ) {
        yield wrap(done);
        done = server.take(itemsPerBatchMax);
      }
      if (server.finished) break;
    }
    await reading;
  } finally {
    server.stop();
  }
}

class BatchServer<Item, Result, Batch, BatchResponse> {
  readonly #options: ServeBatchStreamOptions<Item, Result, Batch, BatchResponse>;
  readonly #itemsInFlightMax: number;
  // One element is enough: it only says that something is done.
  readonly wakeUps = createAsyncQueue<true>({ max: 1 });
  #done: BatchOutcome<Result>[] = [];
  #working = 0;
  #reading = true;
  #scheduled = false;
  #stopped = false;
  #room: PromiseWithResolvers<void> | undefined;

  constructor(options: ServeBatchStreamOptions<Item, Result, Batch, BatchResponse>) {
    this.#options = options;
    this.#itemsInFlightMax = options.itemsInFlightMax ?? BATCH_ITEMS_IN_FLIGHT_MAX;
  }

  get finished(): boolean {
    return !this.#reading && this.#working === 0 && this.#done.length === 0;
  }

  /** Reads batches until they end, or draining begins, and hands out their items. */
  async read(requests: AsyncIterable<Batch>): Promise<void> {
    const { drainSignal } = this.#options;
    const iterator = requests[Symbol.asyncIterator]();
    let endRead: ((result: undefined) => void) | undefined;
    const onDrain = () => endRead?.(undefined);
    drainSignal?.addEventListener("abort", onDrain, { once: true });
    // No race of promises: each race would leave a reaction behind on the one that never settles.
    const next = () =>
      new Promise<IteratorResult<Batch> | undefined>((resolve, reject) => {
        endRead = resolve;
        iterator.next().then(resolve, reject);
      });
    try {
      while (!this.#stopped && drainSignal?.aborted !== true) {
        const result = await next();
        if (result === undefined || result.done === true) break;
        for (const { correlationId, item } of this.#options.unwrap(result.value)) {
          this.#handle(correlationId, item);
        }
        await this.#waitForRoom();
      }
    } finally {
      drainSignal?.removeEventListener("abort", onDrain);
      iterator.return?.().catch(() => undefined);
      this.#reading = false;
      this.#wake();
    }
  }

  take(max: number): BatchOutcome<Result>[] {
    const taken = this.#done.length <= max ? this.#done : this.#done.slice(0, max);
    this.#done = this.#done.length <= max ? [] : this.#done.slice(max);
    if (taken.length > 0 && this.#room !== undefined && this.#hasRoom()) {
      this.#room.resolve();
      this.#room = undefined;
    }
    return taken;
  }

  stop(): void {
    this.#stopped = true;
    this.#room?.resolve();
    this.wakeUps.clear();
  }

  #hasRoom(): boolean {
    return this.#working + this.#done.length < this.#itemsInFlightMax;
  }

  #waitForRoom(): Promise<void> | undefined {
    if (this.#hasRoom() || this.#stopped) return undefined;
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  #handle(correlationId: bigint, item: Item): void {
    this.#working++;
    let result: Result | Promise<Result>;
    try {
      result = this.#options.handleItem(item);
    } catch (error) {
      this.#finish({ correlationId, ok: false, error: fromUnknown(error) });
      return;
    }
    if (result instanceof Promise) {
      result.then(
        (value) => this.#finish({ correlationId, ok: true, result: value }),
        (error: unknown) => this.#finish({ correlationId, ok: false, error: fromUnknown(error) }),
      );
    } else {
      this.#finish({ correlationId, ok: true, result });
    }
  }

  #finish(outcome: BatchOutcome<Result>): void {
    this.#working--;
    this.#done.push(outcome);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#wake();
    });
  }

  #wake(): void {
    this.wakeUps.push(true);
  }
}
