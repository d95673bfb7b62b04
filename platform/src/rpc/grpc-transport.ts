/** The client between services: a connect transport on grpc-js. */
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import {
  Code,
  type ContextValues,
  type StreamResponse,
  type Transport,
  type UnaryResponse,
} from "@connectrpc/connect";
import { type Client, Metadata } from "@grpc/grpc-js";
import { createBackoff } from "../async/backoff.ts";
import { sleep } from "../async/sleep.ts";
import { canceled, fromUnknown, retryAfterMsOf } from "../errors.ts";
import { currentTraceParent } from "../telemetry/trace-context.ts";
import { type Caller, callerKey, peerAddressKey } from "./caller.ts";
import { createGrpcChannels, type GrpcTransportTls } from "./grpc-channels.ts";
import { callStream, identity, pathOf } from "./grpc-client-stream.ts";
import { type CancelReason, fromServiceError } from "./grpc-status.ts";
import { toBuffer } from "./grpc-streams.ts";
import {
  CALLER_HEADER,
  encodeCaller,
  PEER_ADDRESS_HEADER,
  SERVICE_TOKEN_HEADER,
  TRACE_PARENT_HEADER,
  toHeaders,
  toMetadata,
} from "./headers.ts";

export type GrpcTransportOptions = {
  /** `host:port` of each server; a name that resolves to several addresses stands for all of them. */
  readonly addresses: readonly string[];
  readonly serviceToken?: string | undefined;
  /** Who calls when a call carries no context values. */
  readonly serviceName: string;
  readonly tls?: GrpcTransportTls | undefined;
  /** The deadline of unary calls that set none, in ms. */
  readonly defaultTimeoutMs: number;
  /** Largest message in either direction, in bytes. */
  readonly messageBytesMax?: number;
};

/** First try and two more: a fourth rarely meets a server that three did not. */
const ATTEMPTS_MAX = 3;
const RETRY_INITIAL_MS = 50;
const RETRY_MAX_MS = 1000;

/**
 * Creates the transport; nothing is connected before the first call. Calls go round robin over all
 * servers. A unary call is repeated on `UNAVAILABLE` only when the contract marks it idempotent, and
 * within its deadline. The caller (see `InProcessTransportOptions.asCaller`), the client's address, the
 * deadline and the present span travel along.
 */
export function createGrpcTransport(options: GrpcTransportOptions): Transport & AsyncDisposable {
  const channels = createGrpcChannels(options);
  const self: Caller = { kind: "internal", service: options.serviceName };

  const metadataOf = (header: HeadersInit | undefined, values: ContextValues | undefined) => {
    const metadata = new Metadata();
    if (header !== undefined) toMetadata(new Headers(header), metadata);
    const traceParent = currentTraceParent();
    if (traceParent !== undefined) metadata.set(TRACE_PARENT_HEADER, traceParent);
    if (options.serviceToken === undefined) return metadata;
    metadata.set(SERVICE_TOKEN_HEADER, options.serviceToken);
    metadata.set(CALLER_HEADER, encodeCaller(values === undefined ? self : values.get(callerKey)));
    const address = values?.get(peerAddressKey) ?? "";
    if (address !== "") metadata.set(PEER_ADDRESS_HEADER, address);
    return metadata;
  };

  return {
    async unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit | undefined,
      input: MessageInitShape<I>,
      contextValues?: ContextValues,
    ): Promise<UnaryResponse<I, O>> {
      const request = toBuffer(toBinary(method.input, create(method.input, input)));
      const metadata = metadataOf(header, contextValues);
      const deadline = Date.now() + (timeoutMs ?? options.defaultTimeoutMs);
      const attempt = () =>
        callUnary(channels.next(), {
          method,
          request,
          metadata: metadata.clone(),
          deadline,
          signal,
        });
      return isIdempotent(method) ? withRetries(attempt, deadline, signal) : attempt();
    },
    async stream<I extends DescMessage, O extends DescMessage>(
      method: DescMethodStreaming<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit | undefined,
      input: AsyncIterable<MessageInitShape<I>>,
      contextValues?: ContextValues,
    ): Promise<StreamResponse<I, O>> {
      const deadline = timeoutMs === undefined ? undefined : Date.now() + timeoutMs;
      const metadata = metadataOf(header, contextValues);
      return callStream(channels.next(), { method, input, metadata, deadline, signal });
    },
    [Symbol.asyncDispose]() {
      channels.close();
      return Promise.resolve();
    },
  };
}

const isIdempotent = (method: DescMethod) =>
  method.idempotency === Idempotency.NO_SIDE_EFFECTS ||
  method.idempotency === Idempotency.IDEMPOTENT;

async function withRetries<T>(
  attempt: () => Promise<T>,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const backoff = createBackoff({ initialMs: RETRY_INITIAL_MS, maxMs: RETRY_MAX_MS });
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const refused = fromUnknown(error);
      const pauseMs = Math.max(backoff.next(), retryAfterMsOf(refused) ?? 0);
      const spent = backoff.attempts >= ATTEMPTS_MAX || Date.now() + pauseMs >= deadline;
      if (refused.code !== Code.Unavailable || spent) throw refused;
      try {
        await sleep(pauseMs, signal);
      } catch {
        throw refused;
      }
    }
  }
}

type UnaryCall<I extends DescMessage, O extends DescMessage> = {
  readonly method: DescMethodUnary<I, O>;
  readonly request: Buffer;
  readonly metadata: Metadata;
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
};

function callUnary<I extends DescMessage, O extends DescMessage>(
  client: Client,
  { method, request, metadata, deadline, signal }: UnaryCall<I, O>,
): Promise<UnaryResponse<I, O>> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(canceled(signal.reason));
      return;
    }
    let header = new Headers();
    let trailer = new Headers();
    let canceledHere: CancelReason;
    const onAbort = () => {
      canceledHere = { reason: signal?.reason };
      call.cancel();
    };
    const call = client.makeUnaryRequest(
      pathOf(method),
      identity,
      identity,
      request,
      metadata,
      { deadline },
      (error, bytes) => {
        signal?.removeEventListener("abort", onAbort);
        if (error !== null) {
          reject(fromServiceError(error, canceledHere));
          return;
        }
        // The status event, with the trailers, follows this callback within the same turn.
        queueMicrotask(() => {
          const { parent: service } = method;
          try {
            const message = fromBinary(method.output, bytes ?? new Uint8Array());
            resolve({ stream: false, service, method, header, trailer, message });
          } catch (cause) {
            reject(fromUnknown(cause));
          }
        });
      },
    );
    call.on("metadata", (received: Metadata) => {
      header = toHeaders(received);
    });
    call.on("status", (status: { metadata: Metadata }) => {
      trailer = toHeaders(status.metadata);
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
