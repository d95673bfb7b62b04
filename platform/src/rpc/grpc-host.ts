/** The host between services: connect implementations on a grpc-js server. */
import type { Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { type MethodDefinition, Server, ServerCredentials } from "@grpc/grpc-js";
import { Health as HealthService } from "@parley/gen/grpc/health/v1/health_pb";
import { unavailable } from "../errors.ts";
import { createHealth, type Health } from "../health.ts";
import { createDispatcher } from "./dispatch.ts";
import { createGrpcAuthenticator } from "./grpc-authenticator.ts";
import { definitionOf, handlerOf } from "./grpc-serving.ts";
import { healthRoute } from "./health-service.ts";
import { reflectionRoutes } from "./reflection-service.ts";
import type { Routes } from "./route.ts";
import type { ServerCall } from "./server-call.ts";

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
  const routes = [
    ...options.routes,
    healthRoute(health, names),
    ...reflectionRoutes([...services, HealthService]),
  ];
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
