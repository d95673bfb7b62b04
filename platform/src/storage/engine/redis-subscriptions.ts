/**
 * Channels by hash tag: on one connection to a server, or in a cluster on one connection to each node that holds
 * one of the tags. What is wanted is kept here; whenever a connection or a slot's place is new, it is
 * subscribed again, and its user is told that messages may have been missed.
 */
import { Cluster, Redis } from "ioredis";
import { systemClock, type Timer } from "../../clock.ts";
import type { ConnectionSettings, SubscriptionHandlers } from "./redis.ts";
import { redisUnavailable, toRefusal } from "./redis-errors.ts";
import { slotOf } from "./redis-slots.ts";

export type RedisSubscriptions = AsyncDisposable & {
  /**
   * Subscribes; what is published after it has resolved arrives. Channels that are subscribed already are
   * no matter. Rejects with `REDIS_UNAVAILABLE`; the channels stay wanted until they are removed.
   */
  add(tag: string, channels: readonly string[]): Promise<void>;
  remove(tag: string, channels: readonly string[]): void;
};

/** Channels of one SUBSCRIBE: some 50 KB. */
const CHANNELS_PER_COMMAND_MAX = 500;
/** How long `add` waits for a connection that is being made. */
const READY_WAIT_MS = 3000;
/** A connection that only listens would never learn that it is dead. */
const PING_INTERVAL_MS = 2000;
/** The node of a connection that is not a cluster's. */
const ONE_SERVER = "";

type Lane = {
  readonly redis: Redis;
  readonly tags: Set<string>;
  /** Resolves when everything wanted is subscribed; a new one after each loss. */
  ready: PromiseWithResolvers<void>;
  restored: boolean;
};

type Options = {
  readonly driver: Redis | Cluster;
  readonly settings: ConnectionSettings;
  readonly handlers: SubscriptionHandlers;
};

export function createRedisSubscriptions(options: Options): RedisSubscriptions {
  return new Subscriptions(options);
}

class Subscriptions implements RedisSubscriptions {
  readonly #options: Options;
  readonly #wanted = new Map<string, Set<string>>();
  readonly #nodes = new Map<string, string>();
  readonly #lanes = new Map<string, Lane>();
  readonly #onRefresh = () => this.#relocate();
  #pinging: Timer | undefined;
  #disposed = false;

  constructor(options: Options) {
    this.#options = options;
    if (options.driver instanceof Cluster) options.driver.on("refresh", this.#onRefresh);
    this.#ping();
  }

  async add(tag: string, channels: readonly string[]): Promise<void> {
    if (this.#disposed) throw redisUnavailable("The connection to Redis is closed.");
    let wanted = this.#wanted.get(tag);
    if (wanted === undefined) {
      wanted = new Set();
      this.#wanted.set(tag, wanted);
    }
    for (const channel of channels) wanted.add(channel);
    const lane = this.#laneOf(tag);
    if (lane === undefined) throw redisUnavailable("No Redis node holds these channels.");
    await withinWait(lane.ready.promise);
    try {
      await this.#subscribe(lane, channels);
    } catch (error) {
      this.#learnSlots();
      throw toRefusal(error);
    }
  }

  remove(tag: string, channels: readonly string[]): void {
    const wanted = this.#wanted.get(tag);
    if (wanted === undefined) return;
    for (const channel of channels) wanted.delete(channel);
    const lane = this.#lanes.get(this.#nodes.get(tag) ?? ONE_SERVER);
    if (lane?.redis.status === "ready") void this.#unsubscribe(lane, channels);
    if (wanted.size > 0) return;
    this.#wanted.delete(tag);
    lane?.tags.delete(tag);
    this.#nodes.delete(tag);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#pinging?.cancel();
    this.#options.driver.off("refresh", this.#onRefresh);
    for (const node of [...this.#lanes.keys()]) this.#close(node);
  }

  #laneOf(tag: string): Lane | undefined {
    const node = this.#nodeOf(tag);
    if (node === undefined) return undefined;
    const lane = this.#lanes.get(node) ?? this.#open(node);
    lane.tags.add(tag);
    this.#nodes.set(tag, node);
    return lane;
  }

  #nodeOf(tag: string): string | undefined {
    const { driver } = this.#options;
    return driver instanceof Cluster ? driver.slots[slotOf(tag)]?.[0] : ONE_SERVER;
  }

  #open(node: string): Lane {
    const { driver, settings, handlers } = this.#options;
    const redis = new Redis({
      ...settings,
      ...(driver instanceof Cluster ? toAddress(node) : addressOf(driver)),
      connectionName: `${settings.connectionName}-subscriber`,
      enableOfflineQueue: false,
    });
    const lane: Lane = {
      redis,
      tags: new Set(),
      ready: Promise.withResolvers(),
      restored: false,
    };
    lane.ready.promise.catch(() => undefined);
    this.#lanes.set(node, lane);
    // The connection for commands reports the same.
    redis.on("error", () => undefined);
    redis.on("ready", () => void this.#restore(lane));
    redis.on("close", () => {
      lane.ready.promise.catch(() => undefined);
      lane.ready = Promise.withResolvers();
    });
    redis.on("moved", () => this.#learnSlots());
    redis.on(driver instanceof Cluster ? "smessage" : "message", handlers.onMessage);
    return lane;
  }

  /** After a connection was made: everything that is wanted of it. */
  async #restore(lane: Lane): Promise<void> {
    const { ready } = lane;
    const tags = [...lane.tags];
    try {
      for (const tag of tags) await this.#subscribe(lane, [...(this.#wanted.get(tag) ?? [])]);
    } catch {
      // Lost again, and `ready` comes again; or its slots are elsewhere.
      this.#learnSlots();
      if (lane.redis.status === "ready") lane.redis.disconnect(true);
      return;
    }
    ready.resolve();
    // Who waits for the first connection reads after it by itself.
    if (lane.restored) for (const tag of tags) this.#options.handlers.onRestored(tag);
    lane.restored = true;
  }

  /** Moves tags whose slot has moved; nodes without a tag are left. */
  #relocate(): void {
    for (const [tag, node] of [...this.#nodes]) {
      const now = this.#nodeOf(tag);
      if (now === undefined || now === node) continue;
      const from = this.#lanes.get(node);
      from?.tags.delete(tag);
      if (from?.redis.status === "ready") {
        void this.#unsubscribe(from, [...(this.#wanted.get(tag) ?? [])]);
      }
      const lane = this.#laneOf(tag);
      if (lane !== undefined) void this.#subscribeAgain(lane, tag);
    }
    for (const [node, lane] of [...this.#lanes]) if (lane.tags.size === 0) this.#close(node);
  }

  async #subscribeAgain(lane: Lane, tag: string): Promise<void> {
    try {
      await withinWait(lane.ready.promise);
      await this.#subscribe(lane, [...(this.#wanted.get(tag) ?? [])]);
      this.#options.handlers.onRestored(tag);
    } catch {
      // The connection's own `ready` brings it again; a slot that has moved on, the next refresh.
      if (lane.redis.status === "ready") lane.redis.disconnect(true);
    }
  }

  async #subscribe(lane: Lane, channels: readonly string[]): Promise<void> {
    const sharded = this.#options.driver instanceof Cluster;
    for (let at = 0; at < channels.length; at += CHANNELS_PER_COMMAND_MAX) {
      const some = channels.slice(at, at + CHANNELS_PER_COMMAND_MAX);
      await (sharded ? lane.redis.ssubscribe(...some) : lane.redis.subscribe(...some));
    }
  }

  async #unsubscribe(lane: Lane, channels: readonly string[]): Promise<void> {
    if (channels.length === 0) return;
    const sharded = this.#options.driver instanceof Cluster;
    const done = sharded
      ? lane.redis.sunsubscribe(...channels)
      : lane.redis.unsubscribe(...channels);
    // A connection that is lost is subscribed to nothing.
    await done.catch(() => undefined);
  }

  #learnSlots(): void {
    const { driver } = this.#options;
    if (driver instanceof Cluster && !this.#disposed) driver.refreshSlotsCache();
  }

  #ping(): void {
    this.#pinging = systemClock.setTimer(PING_INTERVAL_MS, () => {
      for (const { redis } of this.#lanes.values()) {
        // An answer that does not come ends the connection.
        if (redis.status === "ready") redis.ping().catch(() => undefined);
      }
      this.#ping();
    });
  }

  #close(node: string): void {
    const lane = this.#lanes.get(node);
    this.#lanes.delete(node);
    lane?.ready.promise.catch(() => undefined);
    lane?.ready.reject(redisUnavailable("The connection to Redis was closed."));
    lane?.redis.disconnect();
  }
}

async function withinWait(ready: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>();
  using _timer = systemClock.setTimer(READY_WAIT_MS, () =>
    late.reject(redisUnavailable("The connection to Redis is being made.")),
  );
  await Promise.race([ready, late.promise]);
}

function toAddress(node: string): { host: string; port: number } {
  const at = node.lastIndexOf(":");
  return { host: node.slice(0, at), port: Number(node.slice(at + 1)) };
}

function addressOf({ options: { host = "localhost", port = 6379 } }: Redis) {
  return { host, port };
}
