/** Typed clients of the contract's services whose errors are `ParleyError`. */
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  createClient,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { toParleyError } from "../errors.ts";

/** The `fetch` that is used for everything but the WebSocket. */
export type Fetch = typeof globalThis.fetch;

/** Without an answer for this long, a call fails with `TIMEOUT`; a slow phone network answers in less. */
export const CALL_TIMEOUT_MS = 20_000;

/** Creates the Connect transport to a server (binary, over `fetch`). */
export function createTransport(options: {
  readonly url: string;
  readonly fetch: Fetch | undefined;
  readonly interceptors: Interceptor[];
}): Transport {
  return createConnectTransport({
    baseUrl: options.url,
    useBinaryFormat: true,
    defaultTimeoutMs: CALL_TIMEOUT_MS,
    interceptors: options.interceptors,
    ...(options.fetch ? { fetch: options.fetch } : {}),
  });
}

type Call = (request: never, options?: CallOptions) => unknown;

/** A client of one service; unary calls reject with `ParleyError`, streams throw it. */
export function createServiceClient<S extends DescService>(
  service: S,
  transport: Transport,
): Client<S> {
  const client = createClient(service, transport) as unknown as Record<string, Call>;
  const wrapped: Record<string, Call> = {};
  for (const method of service.methods) {
    const call = client[method.localName];
    if (call) wrapped[method.localName] = wrap(method, call);
  }
  // The same methods with the same signatures; only what they throw differs.
  return wrapped as unknown as Client<S>;
}

function wrap(method: DescMethod, call: Call): Call {
  if (method.methodKind === "unary") {
    return async (request, options) => {
      try {
        return await call(request, options);
      } catch (error) {
        throw toParleyError(error);
      }
    };
  }
  return async function* (request, options) {
    try {
      yield* call(request, options) as AsyncIterable<unknown>;
    } catch (error) {
      throw toParleyError(error);
    }
  };
}
