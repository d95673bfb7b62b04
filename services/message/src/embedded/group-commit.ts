/** Collects writes and commits them together, one commit at a time, until it succeeds. */
import { createBackoff } from "@parley/platform/async/backoff";
import { sleep } from "@parley/platform/async/sleep";
import { Layer } from "./overlay.ts";

export type GroupCommitOptions = {
  /** Puts a layer into the store, atomically; resolves when it is on disk. */
  readonly commit: (layer: Layer) => Promise<void>;
  /** Called for each attempt that failed, with the number of failures in a row; the layer is tried again. */
  readonly onProblem: (error: unknown, attempt: number) => void;
  /** Called when a commit succeeds after one that failed. */
  readonly onRecovered: () => void;
  /** How long writes are collected, in ms. */
  readonly delayMs?: number;
  /** A layer of this many bytes is not kept waiting. */
  readonly layerBytesMax?: number;
  /** First and longest pause after a failure, in ms. */
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
};

export type GroupCommit = AsyncDisposable & {
  /** The layer that collects. Whoever adds to it calls `changed` in the same turn. */
  readonly filling: Layer;
  /** Both layers, the newer one first. */
  readonly layers: readonly Layer[];
  /** Sees to it that the layer is committed; undefined while there is room for more, else a wait for it. */
  changed(): Promise<void> | undefined;
  /** True when a layer is being committed and the one that collects is full too: what comes has to wait. */
  readonly full: boolean;
  /** True between an attempt that failed and the next one that succeeds. */
  readonly failing: boolean;
  /**
   * Resolves when everything that was written before the call is on disk, without waiting for its time; what
   * is written meanwhile is not waited for. Rejects with StoreDisposedError when that comes first.
   */
  flush(): Promise<void>;
};

/**
 * Long enough that a commit holds hundreds of messages at full load, so that its cost and its disk sync,
 * which competes with the log's, hardly count; short enough that a receipt, which waits for it, feels prompt.
 */
const DELAY_MS = 20;
/** A commit of this size keeps the event loop for some 10 ms. */
const LAYER_BYTES_MAX = 2 * 1024 * 1024;
const RETRY_MIN_MS = 20;
const RETRY_MAX_MS = 5000;

export class StoreDisposedError extends Error {
  override readonly name = "StoreDisposedError";
}

export function createGroupCommit(options: GroupCommitOptions): GroupCommit {
  return new LayeredCommit(options);
}

class LayeredCommit implements GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #stopped = new AbortController();
  filling = new Layer();
  layers: readonly Layer[] = [this.filling];
  #committing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #room: PromiseWithResolvers<void> | undefined;
  #gaveUp = false;
  failing = false;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  get full(): boolean {
    return this.#committing !== undefined && this.#fillingIsFull;
  }

  get #fillingIsFull(): boolean {
    return this.filling.bytes >= (this.#options.layerBytesMax ?? LAYER_BYTES_MAX);
  }

  changed(): Promise<void> | undefined {
    const { delayMs = DELAY_MS } = this.#options;
    if (this.#committing === undefined) {
      if (this.#fillingIsFull) this.#begin();
      else this.#timer ??= setTimeout(() => this.#begin(), delayMs);
      return undefined;
    }
    if (!this.#fillingIsFull) return undefined;
    if (this.#room === undefined) {
      this.#room = Promise.withResolvers<void>();
      // Whoever does not wait for room need not handle that there will be none either.
      this.#room.promise.catch(() => undefined);
    }
    return this.#room.promise;
  }

  async flush(): Promise<void> {
    const { filling } = this;
    if (filling.isEmpty) return this.layers[1]?.durable.promise;
    while (this.filling === filling && !this.#stopped.signal.aborted) {
      if (this.#committing === undefined) this.#begin();
      else await this.#committing;
    }
    await filling.durable.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // One attempt for what is there; what fails now is in the log and comes again.
    this.#stopped.abort();
    await this.#committing;
    // Not after a layer that failed: what lies behind a gap must not be there.
    if (!this.filling.isEmpty && !this.#gaveUp) {
      this.#begin();
      await this.#committing;
    }
    clearTimeout(this.#timer);
    this.filling.durable.reject(new StoreDisposedError("The store was closed before the write."));
    this.#room?.reject(new StoreDisposedError("The store is closed."));
  }

  #begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const layer = this.filling;
    this.filling = new Layer();
    this.layers = [this.filling, layer];
    this.#room?.resolve();
    this.#room = undefined;
    this.#committing = this.#commit(layer);
  }

  async #commit(layer: Layer): Promise<void> {
    const done = await this.#commitUntilDone(layer);
    if (done) {
      this.layers = [this.filling];
      layer.durable.resolve();
    } else {
      this.#gaveUp = true;
      layer.durable.reject(new StoreDisposedError("The store was closed before the write."));
    }
    this.#committing = undefined;
    if (!this.filling.isEmpty && !this.#stopped.signal.aborted) this.changed();
  }

  async #commitUntilDone(layer: Layer): Promise<boolean> {
    const { commit, onProblem, onRecovered } = this.#options;
    const { retryMinMs = RETRY_MIN_MS, retryMaxMs = RETRY_MAX_MS } = this.#options;
    const backoff = createBackoff({ initialMs: retryMinMs, maxMs: retryMaxMs });
    while (true) {
      try {
        await commit(layer);
        this.failing = false;
        if (backoff.attempts > 0) onRecovered();
        return true;
      } catch (error) {
        const pauseMs = backoff.next();
        this.failing = true;
        onProblem(error, backoff.attempts);
        if (this.#stopped.signal.aborted) return false;
        await sleep(pauseMs, this.#stopped.signal).catch(() => undefined);
      }
    }
  }
}
