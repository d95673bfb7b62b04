/** The edge: Connect, gRPC and gRPC-Web for everybody, on one request handler. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createContextValues,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Health as HealthService } from "@parley/gen/grpc/health/v1/health_pb";
import { createHealth, type Health } from "../health.ts";
import { type Caller, callerKey, peerAddressKey } from "./caller.ts";
import { healthRoute } from "./health-service.ts";
import { reflectionRoutes } from "./reflection-service.ts";
import type { Routes } from "./route.ts";

export type EdgeLimits = {
  /** Largest request message, in bytes, after decompression; also of each one of a stream. */
  readonly readBytesMax: number;
  /** Largest response message, in bytes. */
  readonly writeBytesMax: number;
};

/** Who can be at the edge: never another part of the server. */
export type EdgeCaller = Exclude<Caller, { readonly kind: "internal" }>;

export type EdgeHandlerOptions = {
  readonly routes: Routes;
  readonly interceptors: readonly Interceptor[];
  readonly limits: EdgeLimits;
  /**
   * Decides from a call's headers who calls, before any of the body is read; a throw refuses the call.
   * Default: everybody is public.
   */
  readonly authenticate?: (
    header: Headers,
    peerAddress: string,
  ) => EdgeCaller | Promise<EdgeCaller>;
  /** The client's address; default: the connection's own. A gateway behind a proxy reads a header. */
  readonly peerAddress?: (request: EdgeRequest) => string;
  /** Answers the health service; default: always serving. */
  readonly health?: Health | undefined;
  /** Gets requests for paths that are no RPC; default: 404. */
  readonly fallback?: (request: EdgeRequest, response: EdgeResponse) => void;
};

export type EdgeRequest = IncomingMessage | Http2ServerRequest;
export type EdgeResponse = ServerResponse | Http2ServerResponse;
export type EdgeHandler = (request: EdgeRequest, response: EdgeResponse) => void;

/** setTimeout's own maximum; a longer deadline in a header is refused. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

/** Creates the handler, with health and reflection beside the routes. */
export function createEdgeHandler(options: EdgeHandlerOptions): EdgeHandler {
  const { routes, limits, fallback, authenticate } = options;
  const services = routes.map((route) => route.service);
  const served = [
    ...routes,
    healthRoute(
      options.health ?? createHealth(),
      services.map((service) => service.typeName),
    ),
    ...reflectionRoutes([...services, HealthService]),
  ];
  return connectNodeAdapter({
    routes(router: ConnectRouter) {
      for (const route of served) route.register(router);
    },
    interceptors: [...options.interceptors],
    readMaxBytes: limits.readBytesMax,
    writeMaxBytes: limits.writeBytesMax,
    maxTimeoutMs: TIMEOUT_MAX_MS,
    contextValues: (request) =>
      createContextValues().set(
        peerAddressKey,
        options.peerAddress?.(request) ?? request.socket.remoteAddress ?? "",
      ),
    requestGate: async ({ values, requestHeader, signal }: HandlerContext) => {
      signal.addEventListener("abort", blameClient, { once: true });
      if (authenticate === undefined) return;
      values.set(callerKey, await authenticate(requestHeader, values.get(peerAddressKey)));
    },
    ...(fallback === undefined
      ? {}
      : { fallback: (request, response) => fallback(request, response as EdgeResponse) }),
  });
}

/** What the library says of bytes that it cannot read, as if that were our fault. */
const UNREADABLE = /^(parse binary: |decompression failed$|received compressed envelope, )/;

function blameClient(this: AbortSignal): void {
  const { reason } = this;
  if (!(reason instanceof ConnectError) || reason.code !== Code.Internal) return;
  if (UNREADABLE.test(reason.rawMessage)) (reason as { code: Code }).code = Code.InvalidArgument;
}
