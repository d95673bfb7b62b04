/** The presence service: wiring by hand. */
import { createClient, type Transport } from "@connectrpc/connect";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { systemClock, type Timer, type TimerClock } from "@parley/platform/clock";
import type { Health } from "@parley/platform/health";
import type { Routes } from "@parley/platform/rpc/route";
import type { Metrics } from "@parley/platform/telemetry/metrics";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import { createRoutes } from "./api/routes.ts";
import type { PresenceConfig } from "./config.ts";
import { SWEEP_INTERVAL_MS } from "./domain/presence-rules.ts";
import type { SessionRegistry } from "./ports.ts";
import { openEmbedded, openEngine } from "./stores.ts";

export type PresenceDependencies = {
  readonly telemetry: Telemetry;
  readonly clock?: TimerClock;
  /** Told when last-seen times cannot be written, or Redis cannot be reached. */
  readonly health?: Health;
  readonly transports: { readonly directory: Transport };
};

export type PresenceService = AsyncDisposable & {
  /** SessionRegistryService and PartitionRouteService (internal), and PresenceService (devices). */
  readonly routes: Routes;
  /** Begins to look for sessions that expire. */
  start(): Promise<void>;
};

/** Creates the service. Disposing it ends the watches and puts last-seen times on disk. Throws LastSeenOpenError. */
export async function createPresenceService(
  config: PresenceConfig,
  dependencies: PresenceDependencies,
): Promise<PresenceService> {
  const { telemetry, clock = systemClock, health, transports } = dependencies;
  const { log, metrics } = telemetry;
  await using resources = new AsyncDisposableStack();
  const parts = { clock, log, health };
  const { registry, partitionRoutes } = resources.use(
    config.redis === undefined
      ? await openEmbedded(config, parts)
      : await openEngine(config.redis, config, parts),
  );
  const refused = metrics.counter(
    "parley_presence_sessions_refused_total",
    "Heartbeats of sessions that the full registry left out.",
  );
  observeRegistry(metrics, registry);
  const stopping = new AbortController();
  resources.defer(() => stopping.abort());
  const sweeper = createSweeper(clock, registry, (error) =>
    log.error({ error }, "Expired sessions could not be taken out."),
  );
  resources.use(sweeper);
  const routes = createRoutes({
    registry,
    partitionRoutes,
    directory: createClient(DirectoryService, transports.directory),
    log,
    onRefused: (count) => refused.inc(count),
    stopSignal: stopping.signal,
  });
  const owned = resources.move();
  return {
    routes,
    async start() {
      sweeper.start();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function observeRegistry(metrics: Metrics, registry: SessionRegistry): void {
  const gauges = [
    ["parley_presence_sessions", "Live sessions.", "sessions"],
    ["parley_presence_users_online", "People with a live session.", "onlineUsers"],
    ["parley_presence_gateways", "Gateways with a live session.", "gateways"],
    ["parley_presence_users_watched", "People whom a gateway watches.", "watchedUsers"],
  ] as const;
  for (const [name, help, figure] of gauges) {
    metrics.gauge(name, help, [], (gauge) => gauge.set(registry.figures()[figure]));
  }
}

type Sweeper = AsyncDisposable & { start(): void };

function createSweeper(
  clock: TimerClock,
  registry: Pick<SessionRegistry, "sweep">,
  onProblem: (error: unknown) => void,
): Sweeper {
  let timer: Timer | undefined;
  let sweeping: Promise<void> = Promise.resolve();
  let stopped = false;
  let failing = false;
  const sweep = async () => {
    try {
      await registry.sweep();
      failing = false;
    } catch (error) {
      // Told once: the next sweep, in a second, may fail for the same reason.
      if (!failing) onProblem(error);
      failing = true;
    }
  };
  const set = () => {
    if (stopped) return;
    timer = clock.setTimer(SWEEP_INTERVAL_MS, () => {
      sweeping = sweep();
      set();
    });
  };
  return {
    start: set,
    async [Symbol.asyncDispose]() {
      stopped = true;
      timer?.cancel();
      await sweeping;
    },
  };
}
