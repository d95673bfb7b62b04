/** A bounded queue between producers that do not wait and one consumer that iterates. */

export type AsyncQueue<T> = AsyncIterable<T> & {
  /**
   * Adds an item. False, without having added it, when the queue is full or closed: the caller decides
   * what a slow consumer means (drop, close, refuse).
   */
  push(item: T): boolean;
  /** Adds an item, waiting while the queue is full. False when it closes meanwhile. */
  put(item: T): Promise<boolean>;
  /** Ends the iteration after the items that are in it; with an error, the iteration then throws it. */
  close(error?: unknown): void;
  /** Ends the iteration now and drops what is in it. */
  clear(error?: unknown): void;
  /** Takes what is in the queue without waiting, at most `max` items. */
  takeAll(max?: number): T[];
  readonly size: number;
  readonly closed: boolean;
};

/**
 * Creates a queue of at most `max` items. It is iterated by one consumer at a time; leaving the loop
 * early closes the queue, so that producers learn that nobody listens.
 */
export function createAsyncQueue<T>(options: { readonly max: number }): AsyncQueue<T> {
  if (!(options.max > 0)) throw new RangeError("max must be positive");
  return new BoundedQueue<T>(options.max);
}

class BoundedQueue<T> implements AsyncQueue<T>, AsyncIterator<T> {
  readonly #max: number;
  // Items live in [head, items.length); the array is cut when half of it is behind the head.
  #items: T[] = [];
  #head = 0;
  #closed = false;
  #failed = false;
  #error: unknown;
  #readers: PromiseWithResolvers<IteratorResult<T>>[] = [];
  #writers: { item: T; resolve: (added: boolean) => void }[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  get closed(): boolean {
    return this.#closed;
  }

  push(item: T): boolean {
    if (this.#closed) return false;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: item });
      return true;
    }
    if (this.size >= this.#max) return false;
    this.#items.push(item);
    return true;
  }

  put(item: T): Promise<boolean> {
    if (this.push(item)) return Promise.resolve(true);
    if (this.#closed) return Promise.resolve(false);
    return new Promise((resolve) => this.#writers.push({ item, resolve }));
  }

  close(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#failed = error !== undefined;
    this.#error = error;
    for (const writer of this.#writers.splice(0)) writer.resolve(false);
    for (const reader of this.#readers.splice(0)) {
      if (this.#failed) {
        this.#failed = false;
        reader.reject(error);
      } else {
        reader.resolve({ done: true, value: undefined });
      }
    }
  }

  clear(error?: unknown): void {
    this.#items = [];
    this.#head = 0;
    this.close(error);
  }

  takeAll(max = Number.POSITIVE_INFINITY): T[] {
    const items: T[] = [];
    while (items.length < max && this.size > 0) items.push(this.#shift());
    return items;
  }

  next(): Promise<IteratorResult<T>> {
    if (this.size > 0) return Promise.resolve({ done: false, value: this.#shift() });
    if (this.#failed) {
      this.#failed = false;
      return Promise.reject(this.#error);
    }
    if (this.#closed) return Promise.resolve({ done: true, value: undefined });
    const reader = Promise.withResolvers<IteratorResult<T>>();
    this.#readers.push(reader);
    return reader.promise;
  }

  return(): Promise<IteratorResult<T>> {
    this.clear();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return this;
  }

  #shift(): T {
    const item = this.#items[this.#head] as T;
    this.#items[this.#head++] = undefined as T;
    if (this.#head * 2 >= this.#items.length && this.#head > 32) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    } else if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    }
    const writer = this.#writers.shift();
    if (writer !== undefined) {
      this.#items.push(writer.item);
      writer.resolve(true);
    }
    return item;
  }
}
