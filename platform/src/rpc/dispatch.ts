/** From a call to its implementation through the interceptors; shared by the in-process and the grpc-js host. */
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type DescService,
  type Message,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import { invalidArgument } from "../errors.ts";
import type { Routes } from "./route.ts";
import type { ServerCall } from "./server-call.ts";

/** Runs one call. Rejects or throws what the handler or an interceptor threw, as it is. */
export type Dispatch = {
  unary(call: ServerCall, message: Message): Promise<UnaryResponse>;
  stream(call: ServerCall, messages: AsyncIterable<Message>): Promise<StreamResponse>;
};

export type Dispatcher = {
  /** The way to a method's implementation. Throws `unimplemented` for a method that no route serves. */
  find(method: DescMethod): Dispatch;
  readonly services: readonly DescService[];
};

const CALL = Symbol("server call");

/** The call behind an interceptor's request; undefined on a host that keeps its own (connect-node). */
export function serverCallOf(request: UnaryRequest | StreamRequest): ServerCall | undefined {
  return (request as { readonly [CALL]?: ServerCall })[CALL];
}

/** Binds every method of the routes to its interceptors, once, before the first call. */
export function createDispatcher(routes: Routes, interceptors: readonly Interceptor[]): Dispatcher {
  const byMethod = new Map<DescMethod, Dispatch>();
  const byName = new Map<string, Dispatch>();
  for (const route of routes) {
    for (const [method, spec] of route.methods) {
      const name = `${method.parent.typeName}/${method.name}`;
      if (byName.has(name)) throw new Error(`two routes serve ${name}`);
      const dispatch = bind(spec, interceptors);
      byMethod.set(method, dispatch);
      byName.set(name, dispatch);
    }
  }
  return {
    services: routes.map((route) => route.service),
    find(method) {
      const name = `${method.parent.typeName}/${method.name}`;
      const found = byMethod.get(method) ?? byName.get(name);
      if (found !== undefined) return found;
      throw new ConnectError(`${name} is not served here`, Code.Unimplemented);
    },
  };
}

type Next = ReturnType<Interceptor>;

function bind(spec: MethodImplSpec, interceptors: readonly Interceptor[]): Dispatch {
  const innermost: Next =
    spec.kind === "unary"
      ? (request) => invokeUnary(spec, request as UnaryRequest)
      : (request) => invokeStream(spec, request as StreamRequest);
  const next = interceptors.reduceRight<Next>(
    (inner, interceptor) => interceptor(inner),
    innermost,
  );
  return {
    unary: (call, message) =>
      next(
        new UnaryServerRequest(call, spec.method as DescMethodUnary, message),
      ) as Promise<UnaryResponse>,
    stream: (call, messages) =>
      next(
        new StreamServerRequest(call, spec.method as DescMethodStreaming, messages),
      ) as Promise<StreamResponse>,
  };
}

// `signal` is a getter on the prototype, because an abort controller is the dearest part of a call; an
// interceptor that copies a request with a spread loses it, and gets the call's own back in `contextOf`.
abstract class ServerRequest {
  readonly service: DescService;
  readonly requestMethod = "POST";
  readonly header: Headers;
  readonly contextValues: ContextValues;
  readonly [CALL]: ServerCall;

  constructor(call: ServerCall) {
    this.service = call.service;
    this.header = call.requestHeader;
    this.contextValues = call.values;
    this[CALL] = call;
  }

  get url(): string {
    return this[CALL].url;
  }

  get signal(): AbortSignal {
    return this[CALL].signal;
  }
}

class UnaryServerRequest extends ServerRequest implements UnaryRequest {
  readonly stream = false;
  readonly method: DescMethodUnary;
  readonly message: Message;

  constructor(call: ServerCall, method: DescMethodUnary, message: Message) {
    super(call);
    this.method = method;
    this.message = message;
  }
}

class StreamServerRequest extends ServerRequest implements StreamRequest {
  readonly stream = true;
  readonly method: DescMethodStreaming;
  readonly message: AsyncIterable<Message>;

  constructor(call: ServerCall, method: DescMethodStreaming, message: AsyncIterable<Message>) {
    super(call);
    this.method = method;
    this.message = message;
  }
}

/** The handler's context: the call itself, unless an interceptor replaced a part of the request. */
function contextOf(request: UnaryRequest | StreamRequest): HandlerContext {
  const call = serverCallOf(request);
  if (call === undefined) throw new Error("an interceptor made a request of its own");
  if (request instanceof ServerRequest) return call;
  return {
    method: call.method,
    service: call.service,
    protocolName: call.protocolName,
    requestMethod: call.requestMethod,
    url: call.url,
    timeoutMs: call.timeoutMs,
    requestHeader: request.header ?? call.requestHeader,
    signal: request.signal ?? call.signal,
    values: request.contextValues ?? call.values,
    responseHeader: call.responseHeader,
    responseTrailer: call.responseTrailer,
  };
}

class ServerResponse {
  readonly #call: ServerCall;
  readonly service: DescService;

  constructor(call: ServerCall) {
    this.#call = call;
    this.service = call.service;
  }

  get header(): Headers {
    return this.#call.responseHeader;
  }

  get trailer(): Headers {
    return this.#call.responseTrailer;
  }
}

class UnaryServerResponse extends ServerResponse implements UnaryResponse {
  readonly stream = false;
  readonly method: DescMethodUnary;
  readonly message: Message;

  constructor(call: ServerCall, method: DescMethodUnary, message: Message) {
    super(call);
    this.method = method;
    this.message = message;
  }
}

class StreamServerResponse extends ServerResponse implements StreamResponse {
  readonly stream = true;
  readonly method: DescMethodStreaming;
  readonly message: AsyncIterable<Message>;

  constructor(call: ServerCall, method: DescMethodStreaming, message: AsyncIterable<Message>) {
    super(call);
    this.method = method;
    this.message = message;
  }
}

async function invokeUnary(
  spec: MethodImplSpec & { kind: "unary" },
  request: UnaryRequest,
): Promise<UnaryResponse> {
  const call = serverCallOf(request) as ServerCall;
  const result = await spec.impl(request.message, contextOf(request));
  return new UnaryServerResponse(call, spec.method, create(spec.method.output, result));
}

async function invokeStream(
  spec: Exclude<MethodImplSpec, { kind: "unary" }>,
  request: StreamRequest,
): Promise<StreamResponse> {
  const call = serverCallOf(request) as ServerCall;
  return new StreamServerResponse(
    call,
    spec.method,
    streamResults(spec, request.message, contextOf(request)),
  );
}

async function* streamResults(
  spec: Exclude<MethodImplSpec, { kind: "unary" }>,
  requests: AsyncIterable<Message>,
  context: HandlerContext,
): AsyncGenerator<Message> {
  const output: DescMessage = spec.method.output;
  switch (spec.kind) {
    case "server_streaming":
      for await (const item of spec.impl(await single(requests), context))
        yield create(output, item);
      return;
    case "client_streaming":
      yield create(output, await spec.impl(requests, context));
      return;
    case "bidi_streaming":
      for await (const item of spec.impl(requests, context)) yield create(output, item);
  }
}

async function single(messages: AsyncIterable<Message>): Promise<Message> {
  const iterator = messages[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) throw invalidArgument("", "This call needs one request message.");
  const second = await iterator.next();
  if (second.done !== true) throw invalidArgument("", "This call takes only one request message.");
  return first.value;
}
