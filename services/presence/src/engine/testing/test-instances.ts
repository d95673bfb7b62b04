/** Instances of the presence service's stores on one Redis, and the engine's time in the test's hand. */
import { createManualClock } from "@parley/platform/clock";
import type { RedisConnection } from "@parley/platform/storage/engine/redis";
import type { RedisConfig } from "@parley/platform/storage/engine/redis-config";
import { openTestRedis } from "@parley/platform/storage/engine/testing/test-redis";
import { SWEEP_INTERVAL_MS } from "../../domain/presence-rules.ts";
import type { LastSeenStore, SessionRegistration, SessionRegistry } from "../../ports.ts";
import { createRedisLastSeenStore } from "../redis-last-seen-store.ts";
import { createRedisSessionRegistry } from "../redis-session-registry.ts";

export const WEST = { gatewayId: "west", gatewayAddress: "west:1" };
export const EAST = { gatewayId: "east", gatewayAddress: "east:1" };

export type Instance = {
  readonly registry: SessionRegistry;
  readonly lastSeen: LastSeenStore;
  readonly connection: RedisConnection;
  /** Times that this instance put on record, as `person`. */
  readonly recorded: readonly string[];
};

export type InstancesOptions = {
  readonly redis?: Partial<RedisConfig>;
  readonly count?: number;
  readonly sessionsMax?: number;
  readonly lostSessions?: boolean;
  /** Stands between the registry and its connection. */
  readonly wrap?: (connection: RedisConnection) => RedisConnection;
};

export async function openInstances(options: InstancesOptions = {}) {
  const {
    count = 2,
    sessionsMax = 1_000_000,
    lostSessions = false,
    wrap = (same) => same,
  } = options;
  await using opening = new AsyncDisposableStack();
  const testRedis = opening.use(await openTestRedis(options.redis));
  const clock = createManualClock();
  const startMs = clock.nowMs();
  const engine = { setBackMs: 0 };
  const instances: Instance[] = [];
  for (let index = 0; index < count; index++) {
    const connection = opening.use(await testRedis.open());
    const store = opening.use(createRedisLastSeenStore({ connection }));
    const recorded: string[] = [];
    const lastSeen: LastSeenStore = {
      record(userId, timeMs) {
        recorded.push(userId);
        store.record(userId, timeMs);
      },
      read: (userIds) => store.read(userIds),
      isEmpty: () => store.isEmpty(),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    };
    const registry = opening.use(
      createRedisSessionRegistry({
        connection: wrap(connection),
        lastSeen,
        sessionsMax,
        lostSessions,
        engineTimeMs: () => startMs + clock.monotoneMs() - engine.setBackMs,
      }),
    );
    instances.push({ registry, lastSeen, connection, recorded });
  }
  const owned = opening.move();
  const [one, two = one] = instances as [Instance, Instance?];
  return {
    ...{ one, two, instances, testRedis, clock, engine },
    /** Lets time pass sweep by sweep, in all instances at once. */
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed += SWEEP_INTERVAL_MS) {
        clock.advance(Math.min(SWEEP_INTERVAL_MS, ms - passed));
        await Promise.all(instances.map(({ registry }) => registry.sweep()));
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export function session(sessionId: string, userId: string, ageMs = 0): SessionRegistration {
  return { sessionId, userId, deviceId: `device of ${sessionId}`, ageMs };
}

/** Watches people; `told` waits until so many states were told in all, and takes them. */
export async function watchStates({ registry }: Instance, userIds: readonly string[]) {
  const states: string[] = [];
  let news = Promise.withResolvers<void>();
  const watching = registry.watch(({ userId, status }) => {
    states.push(`${userId} ${status}`);
    news.resolve();
  });
  await watching.add(userIds);
  return {
    states,
    watching,
    async told(count: number): Promise<string[]> {
      while (states.length < count) {
        news = Promise.withResolvers();
        await news.promise;
      }
      return states.splice(0);
    },
  };
}

export async function found({ registry }: Instance, userIds: readonly string[]): Promise<string[]> {
  const gateways = await registry.lookUp(userIds);
  return gateways.map(({ gatewayId, userIds: people }) => `${gatewayId}: ${people.join()}`).sort();
}
