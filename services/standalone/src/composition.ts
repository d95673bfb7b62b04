/** Every service and the gateway in one process, wired by hand. */
import type { DescMethod } from "@bufbuild/protobuf";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createDirectoryService } from "@parley/directory/service";
import { createFanoutService } from "@parley/fanout/service";
import { createGateway } from "@parley/gateway/service";
import { createMessageService } from "@parley/message/service";
import { createLifecycle, type Lifecycle, type LifecycleStep } from "@parley/platform/lifecycle";
import { createBatchMetrics } from "@parley/platform/log/embedded/batch-metrics";
import type { SegmentLogTuning } from "@parley/platform/log/embedded/options";
import { createProblemReport } from "@parley/platform/log/embedded/problem-report";
import { createSegmentLog } from "@parley/platform/log/embedded/segment-log";
import { createLogHealth } from "@parley/platform/log/log-health";
import { createObservedLog } from "@parley/platform/log/observed-log";
import type { Log } from "@parley/platform/log/port";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import type { Route, Routes } from "@parley/platform/rpc/route";
import type { LogDestination } from "@parley/platform/telemetry/logger";
import type { SpanSink } from "@parley/platform/telemetry/span-sink";
import {
  createTelemetry,
  silentTelemetry,
  type Telemetry,
} from "@parley/platform/telemetry/telemetry";
import { createPresenceService } from "@parley/presence/service";
import type { StandaloneConfig } from "./config.ts";
import { createDemoAccounts, type DemoAccount } from "./demo-accounts.ts";
import { createLateTransport } from "./late-transport.ts";
import { serveStartPage } from "./start-page.ts";

export type Standalone = AsyncDisposable & {
  /** Where the gateway listens; after `start`. */
  readonly address: { readonly host: string; readonly port: number };
  /** The accounts of a demo server, after `start`; none otherwise. */
  readonly demoAccounts: readonly DemoAccount[];
  readonly telemetry: Telemetry;
  start(): Promise<void>;
  /** Finishes what was taken on, at most this long, while clients are told to come back. */
  drain(deadlineMs: number): Promise<void>;
};

export type StandaloneOverrides = {
  /** Where log lines go; without one nothing is logged. */
  readonly logDestination?: LogDestination;
  /** Gets every finished span. */
  readonly spanSink?: SpanSink;
  /** The log's tuning and files, for tests that take the power away. */
  readonly log?: Partial<SegmentLogTuning>;
};

/** Creates everything, and starts nothing. Disposing it gives up all that it holds, in reverse order. */
export async function createStandalone(
  config: StandaloneConfig,
  overrides: StandaloneOverrides = {},
): Promise<Standalone> {
  const telemetry = openTelemetry(config, overrides);
  const lifecycle = createLifecycle({ log: telemetry.log });
  lifecycle.use("telemetry", telemetry);
  try {
    const log = lifecycle.use("log", await openLog(config, overrides, { telemetry, lifecycle }));
    const gateway = await wire(config, { telemetry, lifecycle, log });
    let demoAccounts: readonly DemoAccount[] = [];
    return {
      get address() {
        return gateway.address;
      },
      get demoAccounts() {
        return demoAccounts;
      },
      telemetry,
      async start() {
        await lifecycle.start();
        if (config.demo) demoAccounts = await createDemoAccounts(gateway.address.port);
      },
      drain: (deadlineMs) => lifecycle.drain(deadlineMs),
      [Symbol.asyncDispose]: () => lifecycle[Symbol.asyncDispose](),
    };
  } catch (error) {
    await lifecycle[Symbol.asyncDispose]();
    throw error;
  }
}

const silent = silentTelemetry();

type Parts = {
  readonly telemetry: Telemetry;
  readonly lifecycle: Lifecycle;
  readonly log: Log;
};

/**
 * Services call each other in a circle (directory → message → fanout → gateway → directory), so each is reached through
 * a transport that is bound when all of them exist. Steps start in the order they are added: whoever is called comes
 * before whoever calls it, and the gateway, which lets people in, comes last.
 */
async function wire(config: StandaloneConfig, { telemetry, lifecycle, log }: Parts) {
  const transports = {
    directory: createLateTransport("directory"),
    message: createLateTransport("message"),
    fanout: createLateTransport("fanout"),
    presence: createLateTransport("presence"),
    gateway: createLateTransport("gateway"),
  };
  const { health } = lifecycle;
  const presence = await createPresenceService(config.presence, { telemetry, health, transports });
  lifecycle.add(step("presence", presence, config.drainMs));
  const fanout = await createFanoutService(config.fanout, {
    telemetry,
    health,
    log,
    transports,
    gatewayTransport: () => transports.gateway,
  });
  lifecycle.add(step("fanout", fanout, config.drainMs));
  const message = await createMessageService(config.message, {
    telemetry,
    log,
    health,
    transports,
  });
  lifecycle.add(step("message", message, config.drainMs));
  const directory = await createDirectoryService(config.directory, {
    telemetry,
    health,
    transports,
  });
  lifecycle.add(step("directory", directory, config.drainMs));
  const gateway = await createGateway(config.gateway, {
    telemetry,
    health,
    transports,
    staticFiles: serveStartPage,
  });
  lifecycle.add(step("gateway", gateway, config.drainMs));
  transports.presence.bind(inProcess(presence.routes, telemetry));
  transports.fanout.bind(inProcess(fanout.routes, telemetry));
  transports.message.bind(inProcess(message.routes, telemetry));
  transports.directory.bind(inProcess(directory.routes, telemetry));
  transports.gateway.bind(inProcess(gateway.routes, telemetry));
  return gateway;
}

/**
 * People's calls have been counted and logged at the edge already; here only calls between services are, so that a figure
 * means the same in one process as in many.
 */
function inProcess(routes: Routes, telemetry: Telemetry) {
  const [internal, forwarded] = [standardInterceptors(telemetry), standardInterceptors(silent)];
  const transportOf = (interceptors: Interceptor[], of: Routes) =>
    createInProcessTransport({
      routes: of,
      interceptors,
      asCaller: { kind: "internal", service: "standalone" },
    });
  const isInternal = ({ service }: Route) => service.typeName.startsWith("parley.internal.");
  const own = transportOf(internal, routes.filter(isInternal));
  const edge = transportOf(
    forwarded,
    routes.filter((route) => !isInternal(route)),
  );
  const chosen = (method: DescMethod) =>
    method.parent.typeName.startsWith("parley.internal.") ? own : edge;
  const transport: Transport = {
    unary: (method, ...call) => chosen(method).unary(method, ...call),
    stream: (method, ...call) => chosen(method).stream(method, ...call),
  };
  return transport;
}

type Part = AsyncDisposable & {
  start(): Promise<void>;
  drain?(deadlineMs: number): Promise<unknown>;
};

function step(name: string, part: Part, drainMs: number): LifecycleStep {
  return {
    name,
    start: () => part.start(),
    drain: async () => void (await part.drain?.(drainMs)),
    dispose: async () => part[Symbol.asyncDispose](),
  };
}

function openTelemetry(config: StandaloneConfig, overrides: StandaloneOverrides): Telemetry {
  const { tracesEndpoint, tracesSampleRatio } = config;
  const traced = tracesEndpoint !== undefined || overrides.spanSink !== undefined;
  return createTelemetry({
    serviceName: "parley",
    logLevel: config.logLevel,
    logFormat: config.logFormat,
    showPersonal: config.logShowPersonal,
    processMetrics: true,
    ...(overrides.logDestination ? { logDestination: overrides.logDestination } : {}),
    ...(traced
      ? {
          tracing: {
            otlpEndpoint: tracesEndpoint,
            sampleRatio: overrides.spanSink ? 1 : tracesSampleRatio,
            sink: overrides.spanSink,
          },
        }
      : {}),
  });
}

async function openLog(
  config: StandaloneConfig,
  overrides: StandaloneOverrides,
  { telemetry, lifecycle }: Pick<Parts, "telemetry" | "lifecycle">,
): Promise<Log> {
  const { log, metrics } = telemetry;
  const health = createLogHealth({ health: lifecycle.health });
  const segments = await createSegmentLog({
    ...overrides.log,
    directory: config.logDirectory,
    partitionCount: config.partitionCount,
    onProblem: createProblemReport({ log, health }),
    onBatchWritten: createBatchMetrics(metrics),
  });
  return createObservedLog(segments, { metrics, health });
}
