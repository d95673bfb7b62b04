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

/** Messages written in a row before other work gets its turn of the event loop. */
const WRITE_BURST_MAX = 64;

/**
 * Returns a function that writes one message, and gives a promise when its caller must wait: while the
 * other side is slower, and now and then so that a writer that never pauses does not starve everything
 * else (grpc-js reports a full buffer only after the whole flow control window). The promise rejects
 * when the signal aborts.
 */
export function createMessageWriter<T>(
  stream: Writable & { write(message: T): boolean },
  signal: AbortSignal,
): (message: T) => Promise<void> | undefined {
  let burst = 0;
  return (message) => {
    if (!stream.write(message)) return drained(stream, signal);
    if (++burst < WRITE_BURST_MAX) return undefined;
    burst = 0;
    return new Promise((resolve) => setImmediate(resolve));
  };
}

function drained(stream: Writable, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDrain = () => {
      signal.removeEventListener("abort", onAbort);
      // Drain events come before the event loop turns; see above.
      setImmediate(resolve);
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

/** The same memory as a Buffer, which is what grpc-js frames. */
export const toBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
