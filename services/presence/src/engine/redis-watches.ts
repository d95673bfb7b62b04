/** Who watches whom in this process, told through one channel per person. */
import type { RedisConnection } from "@parley/platform/storage/engine/redis";
import type { PresenceState, PresenceStatus } from "../domain/presence-rules.ts";
import { createWatchTable, type WatchTable } from "../embedded/watch-table.ts";
import type { PresenceWatch } from "../ports.ts";
import { groupByShard, type RedisKeys, shardOf } from "./redis-keys.ts";
import { type Change, parseNotice } from "./redis-session-scripts.ts";

/** A state together with the newest change that it knows of. */
export type NumberedState = PresenceState & { readonly change: number };

export type RedisWatches = AsyncDisposable & {
  open(onState: (state: PresenceState) => void): PresenceWatch;
  /** Takes changes in that this process caused, before their notice arrives. */
  apply(changes: readonly Change[]): void;
  /** Has the people of a shard read again: notices may have been missed, or the unknown time is over. */
  markStale(shard: number): void;
  /** Reads again what is marked. Rejects when it cannot; what is left stays marked. */
  refresh(): Promise<void>;
  readonly userCount: number;
};

export type RedisWatchesOptions = {
  readonly connection: RedisConnection;
  readonly keys: RedisKeys;
  readonly read: (userIds: readonly string[]) => Promise<NumberedState[]>;
};

/** People of one read. */
const REFRESH_USERS_MAX = 1000;

export function createRedisWatches(options: RedisWatchesOptions): RedisWatches {
  return new Watches(options);
}

/** What the watches of a person were told. */
type Told = { change: number; status: PresenceStatus };

class Watches implements RedisWatches {
  readonly #options: RedisWatchesOptions;
  readonly #table: WatchTable;
  readonly #subscriptions;
  readonly #watchCounts = new Map<string, number>();
  readonly #told = new Map<string, Told>();
  readonly #stale = new Set<number>();
  readonly #shards: Map<string, number>;
  #refreshing: Promise<void> | undefined;

  constructor(options: RedisWatchesOptions) {
    this.#options = options;
    const { connection, keys } = options;
    this.#shards = new Map(keys.shard.map((_, shard) => [keys.tag(shard), shard]));
    this.#table = createWatchTable((userIds) => this.#readForWatch(userIds));
    this.#subscriptions = connection.subscribe({
      onMessage: (channel, message) => this.apply([parseNotice(keys.userOf(channel), message)]),
      onRestored: (tag) => {
        this.markStale(this.#shards.get(tag) ?? 0);
        // The next sweep tries again.
        this.refresh().catch(() => undefined);
      },
    });
  }

  get userCount(): number {
    return this.#watchCounts.size;
  }

  open(onState: (state: PresenceState) => void): PresenceWatch {
    const watch = this.#table.open(onState);
    const own = new Set<string>();
    return {
      add: async (userIds) => {
        for (const userId of userIds) {
          if (own.has(userId)) continue;
          own.add(userId);
          this.#watchCounts.set(userId, (this.#watchCounts.get(userId) ?? 0) + 1);
        }
        await watch.add(userIds);
      },
      remove: (userIds) => {
        watch.remove(userIds);
        this.#release(userIds.filter((userId) => own.delete(userId)));
      },
      get size() {
        return watch.size;
      },
      [Symbol.dispose]: () => {
        watch[Symbol.dispose]();
        this.#release([...own]);
        own.clear();
      },
    };
  }

  apply(changes: readonly Change[]): void {
    for (const { change, userId, status, heardTimeMs } of changes) {
      if (!this.#watchCounts.has(userId)) continue;
      const told = this.#told.get(userId);
      // Its own notice, or one that a later change or read has overtaken.
      if (told !== undefined && change <= told.change) continue;
      this.#told.set(userId, { change, status });
      if (told?.status === status) continue;
      this.#table.report({ userId, status, lastSeenTimeMs: heardTimeMs });
    }
  }

  markStale(shard: number): void {
    this.#stale.add(shard);
  }

  async refresh(): Promise<void> {
    this.#refreshing ??= this.#refreshAll().finally(() => {
      this.#refreshing = undefined;
    });
    await this.#refreshing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#subscriptions[Symbol.asyncDispose]();
    await this.#refreshing?.catch(() => undefined);
  }

  async #refreshAll(): Promise<void> {
    while (this.#stale.size > 0) {
      const shards = new Set(this.#stale);
      // Marked again meanwhile, a shard is read again.
      for (const shard of shards) this.#stale.delete(shard);
      const userIds = [...this.#watchCounts.keys()].filter((id) => shards.has(shardOf(id)));
      try {
        for (let at = 0; at < userIds.length; at += REFRESH_USERS_MAX) {
          const some = userIds.slice(at, at + REFRESH_USERS_MAX);
          for (const state of await this.#options.read(some)) this.#take(state);
        }
      } catch (error) {
        for (const shard of shards) this.#stale.add(shard);
        throw error;
      }
    }
  }

  /** Subscribed before it is read: what changes in between is told by either or both. */
  async #readForWatch(userIds: readonly string[]): Promise<PresenceState[]> {
    const { keys, read } = this.#options;
    const untold = userIds.filter((userId) => !this.#told.has(userId));
    const subscribing = [...groupByShard(untold, (userId) => userId)].map(([shard, some]) =>
      this.#subscriptions.add(
        keys.tag(shard),
        some.map((userId) => keys.channel(shard, userId)),
      ),
    );
    await Promise.all(subscribing);
    const states = await read(userIds);
    for (const state of states) this.#take(state);
    return states;
  }

  /** Takes a read state in. The watch that asked is told by the table; the others if it is news to them. */
  #take(state: NumberedState): void {
    const { userId, status, change } = state;
    if (!this.#watchCounts.has(userId)) return;
    const told = this.#told.get(userId);
    if (told === undefined) {
      this.#told.set(userId, { change, status });
      return;
    }
    if (change < told.change) return;
    told.change = change;
    // After a loss what was told stays true until something better is known.
    if (status === told.status || status === "unknown") return;
    told.status = status;
    this.#table.report({ userId, status, lastSeenTimeMs: state.lastSeenTimeMs });
  }

  #release(userIds: readonly string[]): void {
    const unwatched: string[] = [];
    for (const userId of userIds) {
      const left = (this.#watchCounts.get(userId) ?? 0) - 1;
      if (left > 0) {
        this.#watchCounts.set(userId, left);
        continue;
      }
      this.#watchCounts.delete(userId);
      this.#told.delete(userId);
      unwatched.push(userId);
    }
    const { keys } = this.#options;
    for (const [shard, some] of groupByShard(unwatched, (userId) => userId)) {
      this.#subscriptions.remove(
        keys.tag(shard),
        some.map((userId) => keys.channel(shard, userId)),
      );
    }
  }
}
