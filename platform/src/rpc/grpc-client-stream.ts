/** Streams of the grpc-js transport. */
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { StreamResponse } from "@connectrpc/connect";
import type { Client, ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import { canceled } from "../errors.ts";
import { type CancelReason, fromServiceError } from "./grpc-status.ts";
import { createMessageWriter, readMessages, toBuffer } from "./grpc-streams.ts";
import { toHeaders } from "./headers.ts";

export const pathOf = (method: DescMethod) => `/${method.parent.typeName}/${method.name}`;
export const identity = (bytes: Buffer) => bytes;

export type StreamCall<I extends DescMessage, O extends DescMessage> = {
  readonly method: DescMethodStreaming<I, O>;
  readonly input: AsyncIterable<MessageInitShape<I>>;
  readonly metadata: Metadata;
  /** Unix time in ms. */
  readonly deadline: number | undefined;
  readonly signal: AbortSignal | undefined;
};

/** Opens a stream; all three streaming kinds are the same on the wire. Resolves with the response's headers. */
export function callStream<I extends DescMessage, O extends DescMessage>(
  client: Client,
  { method, input, metadata, deadline, signal }: StreamCall<I, O>,
): Promise<StreamResponse<I, O>> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(canceled(signal.reason));
      return;
    }
    const grpc = client.makeBidiStreamRequest<Buffer, Buffer>(
      pathOf(method),
      identity,
      identity,
      metadata,
      deadline === undefined ? {} : { deadline },
    );
    const call = new OpenStream(grpc);
    const onAbort = () => call.cancel(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const { messages } = readMessages<Buffer>(grpc);
    const trailer = new Headers();
    const respond = (received?: Metadata) =>
      resolve({
        stream: true,
        service: method.parent,
        method,
        header: received === undefined ? new Headers() : toHeaders(received),
        trailer,
        message: responseMessages(method.output, call, messages),
      });
    grpc.on("metadata", respond);
    grpc.on("error", (error) => reject(fromServiceError(error, call.canceledHere)));
    grpc.on("status", (status: { metadata: Metadata; code: number }) => {
      signal?.removeEventListener("abort", onAbort);
      toHeaders(status.metadata).forEach((value, name) => {
        trailer.append(name, value);
      });
      // A stream that ends well without a message and without headers still has a response.
      if (status.code === 0) respond();
      call.end();
    });
    void sendAll(method.input, call, input);
  });
}

/** A call with the two ways it ends on this side. */
class OpenStream {
  readonly grpc: ClientDuplexStream<Buffer, Buffer>;
  canceledHere: CancelReason;
  readonly #ended = new AbortController();

  constructor(grpc: ClientDuplexStream<Buffer, Buffer>) {
    this.grpc = grpc;
  }

  /** Aborts when the call has its status. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  cancel(reason: unknown): void {
    this.canceledHere ??= { reason };
    this.grpc.cancel();
  }

  end(): void {
    this.#ended.abort();
  }
}

/** Writes the caller's messages until they end or the call does; an error of the caller's own cancels the call. */
async function sendAll<I extends DescMessage>(
  schema: I,
  call: OpenStream,
  input: AsyncIterable<MessageInitShape<I>>,
): Promise<void> {
  const iterator = input[Symbol.asyncIterator]();
  const { ended, grpc } = call;
  const write = createMessageWriter<Buffer>(grpc, ended);
  // Not awaited: a generator that is stuck in an await of its own answers when that is over.
  ended.addEventListener("abort", () => void iterator.return?.().catch(() => undefined), {
    once: true,
  });
  try {
    while (!ended.aborted) {
      const result = await iterator.next();
      if (ended.aborted) return;
      if (result.done === true) {
        grpc.end();
        return;
      }
      const wait = write(toBuffer(toBinary(schema, create(schema, result.value))));
      if (wait !== undefined) await wait;
    }
  } catch (error) {
    if (!ended.aborted) call.cancel(error);
  }
}

function responseMessages<O extends DescMessage>(
  schema: O,
  call: OpenStream,
  messages: AsyncIterable<Buffer>,
): AsyncIterable<MessageShape<O>> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = messages[Symbol.asyncIterator]();
      return {
        async next() {
          try {
            const result = await iterator.next();
            if (result.done === true) return { done: true, value: undefined };
            return { done: false, value: fromBinary(schema, result.value) };
          } catch (error) {
            throw fromServiceError(error, call.canceledHere);
          }
        },
        async return() {
          call.cancel(undefined);
          return { done: true, value: undefined };
        },
      };
    },
  };
}
