/** The service's ports on one technology: this process, or Redis. */
import type { TimerClock } from "@parley/platform/clock";
import type { Health } from "@parley/platform/health";
import { openRedis } from "@parley/platform/storage/engine/redis";
import type { RedisConfig } from "@parley/platform/storage/engine/redis-config";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { PresenceConfig } from "./config.ts";
import { createLmdbLastSeenStore } from "./embedded/lmdb-last-seen-store.ts";
import { createMemoryPartitionRoutes } from "./embedded/memory-partition-routes.ts";
import { createMemorySessionRegistry } from "./embedded/memory-session-registry.ts";
import { createRedisLastSeenStore } from "./engine/redis-last-seen-store.ts";
import { createRedisPartitionRoutes } from "./engine/redis-partition-routes.ts";
import { createRedisSessionRegistry } from "./engine/redis-session-registry.ts";
import type { SessionRegistry } from "./ports.ts";
import type { PartitionRoutes } from "./route-ports.ts";

export type Stores = AsyncDisposable & {
  readonly registry: SessionRegistry;
  readonly partitionRoutes: PartitionRoutes;
};

type Parts = {
  readonly clock: TimerClock;
  readonly log: Logger;
  readonly health: Health | undefined;
};

/** Everything in this process; last-seen times in LMDB. Throws LastSeenOpenError. */
export async function openEmbedded(
  { directory, sessionsMax }: PresenceConfig,
  parts: Parts,
): Promise<Stores> {
  const { clock } = parts;
  await using resources = new AsyncDisposableStack();
  const text = "Last-seen times cannot be written. Is the disk full?";
  const lastSeen = resources.use(
    createLmdbLastSeenStore({ directory, clock, ...reports(parts, "last-seen store", text) }),
  );
  const lostSessions = !(await lastSeen.isEmpty());
  const registry = resources.use(
    createMemorySessionRegistry({ clock, lastSeen, sessionsMax, lostSessions }),
  );
  const partitionRoutes = resources.use(createMemoryPartitionRoutes({ clock }));
  return toStores(resources, registry, partitionRoutes);
}

/** Everything in Redis, for any number of instances. A Redis that is down is waited for by whoever calls. */
export async function openEngine(
  redis: RedisConfig,
  { sessionsMax }: PresenceConfig,
  parts: Parts,
): Promise<Stores> {
  const { clock } = parts;
  await using resources = new AsyncDisposableStack();
  const connection = resources.use(
    await openRedis(redis, {
      clientName: "parley-presence",
      ...reports(parts, "redis", "Redis cannot be reached."),
    }),
  );
  const text = "Last-seen times cannot be written to Redis.";
  const lastSeen = resources.use(
    createRedisLastSeenStore({ connection, clock, ...reports(parts, "last-seen store", text) }),
  );
  const registry = resources.use(
    createRedisSessionRegistry({
      ...{ connection, lastSeen, sessionsMax },
      // An empty Redis may be a new one or one that lost everything; as this says, nobody is called offline.
      lostSessions: true,
    }),
  );
  const partitionRoutes = resources.use(createRedisPartitionRoutes({ connection }));
  return toStores(resources, registry, partitionRoutes);
}

function toStores(
  resources: AsyncDisposableStack,
  registry: SessionRegistry,
  partitionRoutes: PartitionRoutes,
): Stores {
  const owned = resources.move();
  return { registry, partitionRoutes, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Says in the log and in the component's health what does not work, and when it works again. */
function reports({ log, health }: Parts, component: string, text: string) {
  return {
    onProblem(error: unknown) {
      health?.set(component, false, text);
      log.error({ error }, `${text} What waits is tried again.`);
    },
    onRecovered() {
      health?.set(component, true);
      log.info({ component }, "It works again.");
    },
  };
}
