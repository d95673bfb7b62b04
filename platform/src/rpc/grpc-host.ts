/** The host between services: connect implementations on a grpc-js server. */
import {
  type DescMessage,
  type DescMethod,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import {
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { canceled, fromUnknown, invalidArgument, unavailable } from "../errors.ts";
import { createHealth, type Health } from "../health.ts";
import { createDispatcher, type Dispatch } from "./dispatch.ts";
import { createGrpcAuthenticator, type GrpcAuthenticator } from "./grpc-authenticator.ts";
import { toStatusObject } from "./grpc-status.ts";
import { createMessageWriter, readMessages } from "./grpc-streams.ts";
import { toHeaders, toMetadata } from "./headers.ts";
import { healthRoute } from "./health-service.ts";
import { reflectionRoutes } from "./reflection-service.ts";
import type { Routes } from "./route.ts";
import { ServerCall } from "./server-call.ts";

export type GrpcHostOptions = {
  readonly routes: Routes;
  readonly interceptors: readonly Interceptor[];
  /** Where to listen; port 0 takes a free one. */
  readonly address: { readonly host: string; readonly port: number };
  /** What other parts of the deployment show; without one, every caller is public. */
  readonly serviceToken?: string | undefined;
  readonly tls?: GrpcHostTls | undefined;
  /** Answers the health service; default: always serving until drained. */
  readonly health?: Health | undefined;
  /** Largest message in either direction, in bytes. */
  readonly messageBytesMax?: number;
  /** How long `drain` waits for calls before it ends them, in ms; default 10,000. */
  readonly drainTimeoutMs?: number;
};

export type GrpcHostTls = {
  /** PEM. */
  readonly certificate: Buffer;
  /** PEM. */
  readonly key: Buffer;
  /** PEM; with it, clients must show a certificate that it signed. */
  readonly clientAuthority?: Buffer;
};

export type GrpcHost = AsyncDisposable & {
  /** Where it listens, with the port it got. */
  readonly address: { readonly host: string; readonly port: number };
  /**
   * Takes no new connection or call, lets unary calls finish, and ends streams with `unavailable` /
   * `SERVER_DRAINING`, so that their callers open them elsewhere. Resolves when no call is left.
   */
  drain(): Promise<void>;
};

/** Room for a batch of the largest items; far below what would hurt the event loop. */
export const GRPC_MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

/** One batch in flight per stream without waiting for the other side's window updates. */
export const GRPC_FLOW_CONTROL_WINDOW_BYTES = 4 * 1024 * 1024;

/** A silent connection is probed after 20 s, below the idle timeouts of common load balancers. */
export const GRPC_KEEPALIVE_MS = 20_000;
/** A probe that stays unanswered for 5 s ends the connection. */
export const GRPC_KEEPALIVE_TIMEOUT_MS = 5000;

const DRAIN_TIMEOUT_MS = 10_000;

/** Starts listening. Rejects when the address cannot be had. */
export async function createGrpcHost(options: GrpcHostOptions): Promise<GrpcHost> {
  const health = options.health ?? createHealth();
  const services = options.routes.map((route) => route.service);
  const names = services.map((service) => service.typeName);
  const routes = [...options.routes, healthRoute(health, names), ...reflectionRoutes(services)];
  const dispatcher = createDispatcher(routes, options.interceptors);
  const server = new Server(serverOptions(options.messageBytesMax ?? GRPC_MESSAGE_BYTES_MAX));
  const calls = new Set<ServerCall>();
  const authenticate = createGrpcAuthenticator(options.serviceToken);

  for (const { service } of routes) {
    const definition: Record<string, MethodDefinition<Buffer, Message>> = {};
    const implementation: Record<string, ReturnType<typeof handlerOf>> = {};
    for (const method of service.methods) {
      definition[method.localName] = definitionOf(method);
      implementation[method.localName] = handlerOf({
        method,
        dispatch: dispatcher.find(method),
        authenticate,
        calls,
      });
    }
    server.addService(definition, implementation);
  }

  const port = await bind(server, options);
  let draining: Promise<void> | undefined;
  const drain = () => {
    draining ??= drainServer(server, calls, options.drainTimeoutMs ?? DRAIN_TIMEOUT_MS);
    return draining;
  };
  return {
    address: { host: options.address.host, port },
    drain,
    async [Symbol.asyncDispose]() {
      for (const call of calls) call.abort(drainingError());
      server.forceShutdown();
      await draining;
    },
  };
}

const drainingError = () => unavailable("SERVER_DRAINING", "This server is shutting down.");

function serverOptions(messageBytesMax: number) {
  return {
    "grpc.max_receive_message_length": messageBytesMax,
    "grpc.max_send_message_length": messageBytesMax,
    "grpc.keepalive_time_ms": GRPC_KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": GRPC_KEEPALIVE_TIMEOUT_MS,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc-node.flow_control_window": GRPC_FLOW_CONTROL_WINDOW_BYTES,
  };
}

function bind(server: Server, options: GrpcHostOptions): Promise<number> {
  const { host, port } = options.address;
  const { tls } = options;
  const credentials =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(
          tls.clientAuthority ?? null,
          [{ cert_chain: tls.certificate, private_key: tls.key }],
          tls.clientAuthority !== undefined,
        );
  const target = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(target, credentials, (error, boundPort) => {
      if (error === null) resolve(boundPort);
      else reject(error);
    });
  });
}

async function drainServer(
  server: Server,
  calls: Set<ServerCall>,
  timeoutMs: number,
): Promise<void> {
  for (const call of calls) {
    if (call.method.methodKind !== "unary") call.abort(drainingError());
  }
  const timer = setTimeout(() => {
    for (const call of calls) call.abort(drainingError());
    server.forceShutdown();
  }, timeoutMs);
  try {
    await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  } finally {
    clearTimeout(timer);
  }
}

// Requests stay bytes until our own code decodes them: grpc-js would answer malformed ones with INTERNAL.
function definitionOf(method: DescMethod): MethodDefinition<Buffer, Message> {
  const unary = method.methodKind === "unary";
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: !unary,
    responseStream: !unary,
    requestSerialize: (bytes) => bytes,
    requestDeserialize: (bytes) => bytes,
    responseSerialize: (message) => toBuffer(toBinary(method.output, message)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

/** The same memory as a Buffer, which is what grpc-js frames. */
export const toBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

type Handler = {
  readonly method: DescMethod;
  readonly dispatch: Dispatch;
  readonly authenticate: GrpcAuthenticator;
  /** Calls that are running. */
  readonly calls: Set<ServerCall>;
};

type UnaryCall = ServerUnaryCall<Buffer, Message>;
type StreamCall = ServerDuplexStream<Buffer, Message>;

// Every streaming kind is a duplex stream on the wire, so all three share one handler.
function handlerOf(handler: Handler) {
  return handler.method.methodKind === "unary"
    ? (grpc: UnaryCall, answer: sendUnaryData<Message>) => void serveUnary(handler, grpc, answer)
    : (grpc: StreamCall) => void serveStream(handler, grpc);
}

function openCall(handler: Handler, grpc: UnaryCall | StreamCall): ServerCall {
  const deadline = grpc.getDeadline();
  const expireTimeMs = typeof deadline === "number" ? deadline : deadline.getTime();
  const call = new ServerCall({
    method: handler.method,
    protocolName: "grpc",
    requestHeader: toHeaders(grpc.metadata),
    values: handler.authenticate(grpc.metadata, grpc.getPeer()),
    timeoutMs: Number.isFinite(expireTimeMs) ? expireTimeMs - Date.now() : undefined,
  });
  handler.calls.add(call);
  grpc.on("cancelled", () => call.abort(canceled()));
  return call;
}

async function serveUnary(
  handler: Handler,
  grpc: UnaryCall,
  answer: sendUnaryData<Message>,
): Promise<void> {
  let call: ServerCall | undefined;
  try {
    call = openCall(handler, grpc);
    const message = decode(handler.method.input, grpc.request);
    const response = await orAbort(call, handler.dispatch.unary(call, message));
    const { responseHeaderIfAny, responseTrailerIfAny } = call;
    if (responseHeaderIfAny !== undefined) grpc.sendMetadata(toMetadata(responseHeaderIfAny));
    answer(null, response.message, responseTrailerIfAny && toMetadata(responseTrailerIfAny));
  } catch (error) {
    answer(toStatusObject(fromUnknown(error), call?.responseTrailerIfAny));
  } finally {
    if (call !== undefined) {
      call.finish();
      handler.calls.delete(call);
    }
  }
}

function orAbort<T>(call: ServerCall, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    call.onAbort(reject);
    promise.then(resolve, reject);
  });
}

async function serveStream(handler: Handler, grpc: StreamCall): Promise<void> {
  let call: ServerCall | undefined;
  try {
    call = openCall(handler, grpc);
    const { messages, fail } = readMessages<Buffer>(grpc);
    const requests = decodeEach(handler.method.input, messages);
    await orAbort(
      call,
      pump(handler.dispatch, call, grpc, requests).finally(() => undefined),
    ).catch((error: unknown) => {
      fail(error);
      throw error;
    });
    grpc.end(call.responseTrailerIfAny && toMetadata(call.responseTrailerIfAny));
  } catch (error) {
    grpc.emit("error", toStatusObject(fromUnknown(error), call?.responseTrailerIfAny));
  } finally {
    if (call !== undefined) {
      call.finish();
      handler.calls.delete(call);
    }
  }
}

async function pump(
  dispatch: Dispatch,
  call: ServerCall,
  grpc: StreamCall,
  requests: AsyncIterable<Message>,
): Promise<void> {
  const response = await dispatch.stream(call, requests);
  const write = createMessageWriter<Message>(grpc, call.signal);
  let first = true;
  for await (const message of response.message) {
    if (call.abortReason !== undefined) return;
    if (first && call.responseHeaderIfAny !== undefined) {
      grpc.sendMetadata(toMetadata(call.responseHeaderIfAny));
    }
    first = false;
    const wait = write(message);
    if (wait !== undefined) await wait;
  }
}

function decode(schema: DescMessage, bytes: Buffer): Message {
  try {
    return fromBinary(schema, bytes);
  } catch {
    throw invalidArgument("", "The request is not a valid message.", "MALFORMED_MESSAGE");
  }
}

async function* decodeEach(
  schema: DescMessage,
  messages: AsyncIterable<Buffer>,
): AsyncGenerator<Message> {
  for await (const bytes of messages) yield decode(schema, bytes);
}
