/** The gateway: wiring by hand. */
import { createClient } from "@connectrpc/connect";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import { sleep } from "@parley/platform/async/sleep";
import { systemClock, type TimerClock } from "@parley/platform/clock";
import type { Health } from "@parley/platform/health";
import {
  createEdgeHandler,
  type EdgeRequest,
  type EdgeResponse,
} from "@parley/platform/rpc/edge-host";
import type { Routes } from "@parley/platform/rpc/route";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { GatewayConfig } from "./config.ts";
import { createAddresses } from "./inbound/addresses.ts";
import { createAuthenticator } from "./inbound/authenticator.ts";
import { Connections } from "./inbound/connections.ts";
import { edgeInterceptors } from "./inbound/edge-interceptors.ts";
import { asGateway } from "./inbound/gateway-caller.ts";
import { createHttpPages } from "./inbound/http-pages.ts";
import { createListener } from "./inbound/listener.ts";
import { createOrigins } from "./inbound/origins.ts";
import { PollSessions } from "./inbound/poll-sessions.ts";
import { createRateLimits } from "./inbound/rate-limits.ts";
import { createFallback, createRequestHandler } from "./inbound/request-handler.ts";
import {
  createInternalRoutes,
  createPublicRoutes,
  type ServiceTransports,
} from "./inbound/routes.ts";
import { createSocketAdmission } from "./inbound/socket-admission.ts";
import { readTlsFiles } from "./inbound/tls-files.ts";
import { createVerificationKeys } from "./inbound/verification-keys.ts";
import { createWebSockets } from "./inbound/websocket.ts";
import { createGatewayMetrics, type GatewayMetrics } from "./metrics.ts";
import { TurnWriter } from "./outbound/turn-writer.ts";
import { createDeviceChecks } from "./session/device-checks.ts";
import type { Hub } from "./session/hub.ts";
import { createSessions } from "./session/sessions.ts";

export type GatewayDependencies = {
  readonly telemetry: Telemetry;
  readonly clock?: TimerClock;
  readonly health: Health;
  /** Called by nobody before `start`, so they may be bound after this. */
  readonly transports: ServiceTransports;
  /** Answers requests for pages; true if it did. */
  readonly staticFiles?: (request: EdgeRequest, response: EdgeResponse) => boolean;
};

export type Gateway = AsyncDisposable & {
  /** `DeliveryService`, for fan-out. */
  readonly routes: Routes;
  /** Where it listens; after `start`. */
  readonly address: { readonly host: string; readonly port: number };
  /** The live sessions, for figures about single ones. */
  readonly sessions: Hub["sessions"];
  start(): Promise<void>;
  /**
   * Takes nothing new, answers what it has, tells every client to reconnect elsewhere or later, and resolves
   * when all connections are closed, or after `deadlineMs`.
   */
  drain(deadlineMs: number): Promise<void>;
};

const COMPONENT = "gateway";
/** Clients of a draining gateway come back spread over so much time per session. */
const RECONNECT_MS_PER_SESSION = 2;
const RECONNECT_SPREAD_MS_MIN = 500;
const RECONNECT_SPREAD_MS_MAX = 30_000;
/** How often a draining gateway looks whether everything is answered. */
const DRAIN_CHECK_MS = 10;

/** Creates the gateway. Disposing it ends every session and connection at once. */
export async function createGateway(
  config: GatewayConfig,
  dependencies: GatewayDependencies,
): Promise<Gateway> {
  const { health } = dependencies;
  const parts = await wire(config, dependencies);
  const { sessions, listener, webSockets } = parts;
  const { hub } = sessions;
  let address = { host: config.host, port: config.port };
  let started = false;
  health.set(COMPONENT, false, "The gateway is starting.");
  return {
    routes: parts.routes,
    sessions: hub.sessions,
    get address() {
      return address;
    },
    async start() {
      started = true;
      sessions.start((nowMs) => webSockets.sweep(nowMs));
      address = await listener.listen();
      health.set(COMPONENT, true);
    },
    async drain(deadlineMs) {
      const endMs = performance.now() + deadlineMs;
      health.set(COMPONENT, false, "The gateway is draining.");
      hub.draining = true;
      listener.stop();
      await answered(hub, endMs);
      sayGoodbye(hub);
      webSockets.drain();
      const deadline = AbortSignal.timeout(Math.max(1, Math.ceil(endMs - performance.now())));
      await listener.drain(deadline);
    },
    async [Symbol.asyncDispose]() {
      health.set(COMPONENT, false, "The gateway has stopped.");
      await listener[Symbol.asyncDispose]();
      await sessions.close(started);
    },
  };
}

async function wire(config: GatewayConfig, dependencies: GatewayDependencies) {
  const { telemetry, clock = systemClock, transports } = dependencies;
  const addresses = createAddresses(config.trustedProxies);
  const connections = new Connections(config.connections, addresses);
  const metrics: GatewayMetrics = createGatewayMetrics(telemetry.metrics, {
    sessions: () => sessions.hub.sessions.size,
    connections: () => connections.size,
    watched: () => sessions.watchedCount,
    sendsInFlight: () => sessions.sendsInFlight,
  });
  const directory = createClient(DirectoryService, asGateway(transports.directory));
  const deviceChecks = createDeviceChecks({ directory, clock });
  const keys = createVerificationKeys({ directory, clock });
  const limits = createRateLimits(config.rates, clock);
  const authenticator = createAuthenticator({ keys, deviceChecks, limits, clock });
  const shared = { telemetry, clock, transports, metrics, deviceChecks, limits };
  // A token that comes in a session's own frame counts as a call of its device, not of its address.
  const verify = (accessToken: string) => authenticator.verify(accessToken, "");
  const sessions = createSessions(config, { ...shared, verify });
  const writer = new TurnWriter(metrics.onWritten, (error) =>
    telemetry.log.error({ error }, "A session was ended, because a frame could not be written."),
  );
  const origins = createOrigins(config.allowedOrigins);
  const realtime = {
    hub: sessions.hub,
    modes: sessions.modes,
    polls: new PollSessions(),
    clock,
    queueBytesMax: config.sessionQueueBytesMax,
  };
  const webSockets = createWebSockets({
    ...realtime,
    admission: createSocketAdmission({ addresses, authenticator, limits }),
    origins,
    writer,
    onFrame: metrics.onFrame,
  });
  const rpc = createEdge(dependencies, {
    interceptors: edgeInterceptors({
      telemetry,
      authenticator,
      limits,
      operatorToken: config.operatorToken,
    }),
    routes: createPublicRoutes({
      ...realtime,
      transports,
      content: sessions.content,
      serverInfo: config.serverInfo,
      health: dependencies.health,
      onAccountChanged: () => deviceChecks.forget(),
    }),
    authenticate: (header, address) => authenticator.authenticate(header, address),
    peerAddress: ({ socket, headers }) => addresses.clientAddress(socket.remoteAddress, headers),
  });
  const { operatorToken } = config;
  const pages = createHttpPages({ ...dependencies, addresses, operatorToken, limits });
  const listener = createListener({
    host: config.host === "*" ? undefined : config.host,
    port: config.port,
    tls: config.tls && (await readTlsFiles(config.tls)),
    connections,
    onRequest: createRequestHandler({
      pages,
      origins,
      rpc,
      isDraining: () => sessions.hub.draining,
    }),
    onUpgrade: webSockets.onUpgrade,
    onRefused: metrics.onConnectionRefused,
  });
  const { hub } = sessions;
  const { tracer } = telemetry;
  const routes = createInternalRoutes({ hub, writer, tracer, deviceChecks, transports });
  return { sessions, listener, webSockets, routes };
}

/** Larger than any frame, `Submit` of some, or request. */
const READ_BYTES_MAX = 2 * 1024 * 1024;
/** A page of 1 MiB, in JSON with its content beside its payload. */
const WRITE_BYTES_MAX = 16 * 1024 * 1024;

type EdgeParts = Pick<
  Parameters<typeof createEdgeHandler>[0],
  "interceptors" | "routes" | "authenticate" | "peerAddress"
>;

function createEdge({ health, staticFiles }: GatewayDependencies, parts: EdgeParts) {
  return createEdgeHandler({
    ...parts,
    health,
    limits: { readBytesMax: READ_BYTES_MAX, writeBytesMax: WRITE_BYTES_MAX },
    fallback: createFallback(staticFiles),
  });
}

/** Waits until no session waits for an answer any more; new frames are refused meanwhile. */
async function answered(hub: Hub, endMs: number): Promise<void> {
  const waiting = () => [...hub.sessions.all()].some((session) => session.answersInFlight > 0);
  while (waiting() && performance.now() < endMs) await sleep(DRAIN_CHECK_MS);
}

function sayGoodbye(hub: Hub): void {
  const spreadMs = Math.min(
    RECONNECT_SPREAD_MS_MAX,
    Math.max(RECONNECT_SPREAD_MS_MIN, hub.sessions.size * RECONNECT_MS_PER_SESSION),
  );
  for (const session of [...hub.sessions.all()]) {
    const reconnectDelayMs = Math.random() * spreadMs;
    hub.end(session, GoodbyeReason.SERVER_DRAINING, { reconnectDelayMs });
  }
}
