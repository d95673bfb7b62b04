/** Node object streams of grpc-js as bounded async iterables, and the way back. */
import type { Readable, Writable } from "node:stream";
import { createAsyncQueue } from "../async/queue.ts";

/** Messages read ahead of their user; the rest waits in HTTP/2's flow control window. */
const READ_AHEAD_MAX = 64;

/**
 * The messages of a stream, read with bounded read-ahead. Ends with the stream; throws what `fail` was
 * called with, or the stream's own error. Leaving the loop early stops reading and keeps the stream.
 */
export function readMessages<T>(stream: Readable): {
  readonly messages: AsyncIterable<T>;
  fail(error: unknown): void;
} {
  const queue = createAsyncQueue<T>({ max: READ_AHEAD_MAX });
  const resume = () => {
    if (stream.isPaused() && queue.size <= READ_AHEAD_MAX / 2) stream.resume();
  };
  stream.on("data", (message: T) => {
    // After the reader left, the rest is read and dropped: an unread stream would never end.
    if (!queue.push(message)) return;
    if (queue.size >= READ_AHEAD_MAX) stream.pause();
  });
  stream.on("end", () => queue.close());
  stream.on("error", (error: unknown) => queue.close(error));
  const messages: AsyncIterable<T> = {
    [Symbol.asyncIterator]() {
      const iterator = queue[Symbol.asyncIterator]();
      return {
        next() {
          const result = iterator.next();
          resume();
          return result;
        },
        return: async () => {
          queue.clear();
          stream.resume();
          return { done: true, value: undefined };
        },
      };
    },
  };
  return { messages, fail: (error) => queue.clear(error) };
}

/** Writes one message and waits while the other side is slower. Rejects when the signal aborts meanwhile. */
export function writeMessage<T>(
  stream: Writable & { write(message: T): boolean },
  message: T,
  signal: AbortSignal,
): Promise<void> | undefined {
  if (stream.write(message)) return undefined;
  return new Promise((resolve, reject) => {
    const onDrain = () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    };
    const onAbort = () => {
      stream.off("drain", onDrain);
      reject(signal.reason);
    };
    stream.once("drain", onDrain);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
