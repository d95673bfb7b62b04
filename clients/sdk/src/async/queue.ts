/** A bounded queue between a producer that does not wait and one consumer that iterates. */
import { createDeferred, type Deferred } from "./deferred.ts";

export type AsyncQueue<T> = AsyncIterableIterator<T> & {
  /** Adds an item; false when the queue is full or closed. */
  push(item: T): boolean;
  /** Ends the iteration after the items that are in it; with an error, it then throws that. */
  close(error?: unknown): void;
  readonly size: number;
};

/** Creates a queue of at most `max` items. Leaving the loop early closes it and calls `onReturn`. */
export function createAsyncQueue<T>(max: number, onReturn?: () => void): AsyncQueue<T> {
  const items: T[] = [];
  const readers: Deferred<IteratorResult<T>>[] = [];
  let closed = false;
  let failure: { readonly error: unknown } | undefined;

  const close = (error?: unknown) => {
    if (closed) return;
    closed = true;
    if (error !== undefined) failure = { error };
    for (const reader of readers.splice(0)) finish(reader);
  };
  const finish = (reader: Deferred<IteratorResult<T>>) => {
    const failed = failure;
    failure = undefined;
    if (failed) reader.reject(failed.error);
    else reader.resolve({ done: true, value: undefined });
  };
  return {
    get size() {
      return items.length;
    },
    push(item) {
      if (closed) return false;
      const reader = readers.shift();
      if (reader) {
        reader.resolve({ done: false, value: item });
        return true;
      }
      if (items.length >= max) return false;
      items.push(item);
      return true;
    },
    close,
    next() {
      const reader = createDeferred<IteratorResult<T>>();
      if (items.length > 0) reader.resolve({ done: false, value: items.shift() as T });
      else if (closed) finish(reader);
      else readers.push(reader);
      return reader.promise;
    },
    return() {
      items.length = 0;
      close();
      onReturn?.();
      return Promise.resolve({ done: true, value: undefined });
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
