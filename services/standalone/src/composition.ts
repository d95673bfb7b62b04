/** A process of the platform, wired by hand: every service and the gateway, or some of them. */
import { createDirectoryService } from "@parley/directory/service";
import { createFanoutService } from "@parley/fanout/service";
import { createGateway, type Gateway } from "@parley/gateway/service";
import { createMessageService } from "@parley/message/service";
import { createLifecycle, type Lifecycle, type LifecycleStep } from "@parley/platform/lifecycle";
import type { SegmentLogTuning } from "@parley/platform/log/embedded/options";
import type { Routes } from "@parley/platform/rpc/route";
import type { LogDestination } from "@parley/platform/telemetry/logger";
import type { SpanSink } from "@parley/platform/telemetry/span-sink";
import { createTelemetry, type Telemetry } from "@parley/platform/telemetry/telemetry";
import { createPresenceService } from "@parley/presence/service";
import type { StandaloneConfig } from "./config.ts";
import { createDemoAccounts, type DemoAccount } from "./demo-accounts.ts";
import { internalHost } from "./internal-host.ts";
import { createLinks } from "./links.ts";
import { openLog } from "./open-log.ts";
import type { ServiceName } from "./split-config.ts";
import { serveStartPage } from "./start-page.ts";

export type Standalone = AsyncDisposable & {
  /** Where the gateway listens, after `start`; throws where none of the services here is the gateway. */
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
    const { gateway } = await wire(config, overrides, { telemetry, lifecycle });
    let demoAccounts: readonly DemoAccount[] = [];
    return {
      get address() {
        if (gateway === undefined) throw new Error("no gateway runs in this process");
        return gateway.address;
      },
      get demoAccounts() {
        return demoAccounts;
      },
      telemetry,
      async start() {
        await lifecycle.start();
        if (!config.demo || gateway === undefined) return;
        demoAccounts = await createDemoAccounts(gateway.address.port);
      },
      drain: (deadlineMs) => lifecycle.drain(deadlineMs),
      [Symbol.asyncDispose]: () => lifecycle[Symbol.asyncDispose](),
    };
  } catch (error) {
    await lifecycle[Symbol.asyncDispose]();
    throw error;
  }
}

type Parts = { readonly telemetry: Telemetry; readonly lifecycle: Lifecycle };

/** What runs in this process. */
type Running = {
  readonly gateway: Gateway | undefined;
  readonly routes: Partial<Record<ServiceName, Routes>>;
};

/**
 * Services call each other in a circle (directory → message → fanout → gateway → directory), so each is reached through
 * a transport that is bound when all of them exist. Steps start in the order they are added: whoever is called comes
 * before whoever calls it, and the gateway, which lets people in, comes last.
 */
async function wire(
  config: StandaloneConfig,
  overrides: StandaloneOverrides,
  parts: Parts,
): Promise<Running> {
  const { telemetry, lifecycle } = parts;
  const { health } = lifecycle;
  const { services, split, drainMs } = config;
  const links = lifecycle.use("links", createLinks(split, telemetry));
  const { transports } = links;
  const shared = { telemetry, health, transports };
  const routes: Partial<Record<ServiceName, Routes>> = {};
  const add = <T extends Part>(name: ServiceName, part: T): T => {
    routes[name] = part.routes;
    lifecycle.add(step(name, part, drainMs));
    return part;
  };
  if (services.has("presence")) {
    add("presence", await createPresenceService(config.presence, shared));
  }
  if (services.has("fanout") || services.has("message")) {
    const opened = await openLog(config, { telemetry, lifecycle, tuning: overrides.log });
    const log = lifecycle.use("log", opened);
    if (services.has("fanout")) {
      const gatewayTransport = links.gateway;
      add("fanout", await createFanoutService(config.fanout, { ...shared, log, gatewayTransport }));
    }
    if (services.has("message")) {
      add("message", await createMessageService(config.message, { ...shared, log }));
    }
  }
  if (services.has("directory")) {
    add("directory", await createDirectoryService(config.directory, shared));
  }
  const staticFiles = serveStartPage;
  const gateway = services.has("gateway")
    ? await createGateway(config.gateway, { ...shared, staticFiles })
    : undefined;
  if (gateway !== undefined) routes.gateway = gateway.routes;
  // Others may call before the gateway lets people in, whose sessions they then serve.
  if (split !== undefined) lifecycle.add(internalHost(split, routes, parts, drainMs));
  if (gateway !== undefined) lifecycle.add(step("gateway", gateway, drainMs));
  links.bind(routes);
  return { gateway, routes };
}

type Part = AsyncDisposable & {
  readonly routes: Routes;
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
