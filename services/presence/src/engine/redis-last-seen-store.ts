/**
 * Last-seen times in Redis, one key per person.
 *
 * Durable as the Redis server is, which its operator decides: with an append-only file synced every second
 * (`appendonly yes`) a crash takes back what the port allows, a few seconds. A server that persists nothing
 * forgets all times when it restarts or is emptied: people who are offline are then shown without the time they
 * were last seen, until they have been online again. Nothing else depends on these times.
 */
import { createBackoff } from "@parley/platform/async/backoff";
import { systemClock, type Timer, type TimerClock } from "@parley/platform/clock";
import { readScripts } from "@parley/platform/storage/engine/lua";
import type { RedisCommand, RedisConnection } from "@parley/platform/storage/engine/redis";
import type { LastSeenStore } from "../ports.ts";
import { createRedisKeys, groupByShard, type RedisKeys, shardOf } from "./redis-keys.ts";

export type RedisLastSeenStoreOptions = {
  /** Stays its caller's to dispose of. */
  readonly connection: RedisConnection;
  readonly clock?: TimerClock;
  /** Called when writes begin to fail; they are repeated. Must not throw. */
  readonly onProblem?: (error: unknown) => void;
  /** Called when one succeeds again. Must not throw. */
  readonly onRecovered?: () => void;
  /** People whose times may wait for a server that takes no writes; default WAITING_MAX. */
  readonly waitingMax?: number;
};

/** Who was not seen for so long is as one who never was. */
const KEY_LIFE_MS = 400 * 86_400_000;
/** About 20 MB. Beyond it the times that have waited for longest are given up: they are the oldest. */
const WAITING_MAX = 200_000;
/** Times of one script, which nothing else in its server runs beside. */
const TIMES_PER_SCRIPT_MAX = 500;
/** Times of one round trip. */
const TIMES_PER_FLUSH_MAX = 10_000;
const RETRY_INITIAL_MS = 500;
const RETRY_MAX_MS = 30_000;

const directory = new URL("./lua/", import.meta.url);

/** Creates the store. Disposing it writes what is waiting, if the server takes it. */
export function createRedisLastSeenStore(options: RedisLastSeenStoreOptions): LastSeenStore {
  return new RedisLastSeenStore(options);
}

class RedisLastSeenStore implements LastSeenStore {
  readonly #options: RedisLastSeenStoreOptions;
  readonly #connection: RedisConnection;
  readonly #clock: TimerClock;
  readonly #keys: RedisKeys;
  readonly #backoff = createBackoff({ initialMs: RETRY_INITIAL_MS, maxMs: RETRY_MAX_MS });
  /** In the order of the times. Later ones replace earlier ones. */
  readonly #waiting = new Map<string, number>();
  #writing: ReadonlyMap<string, number> = new Map();
  #flushing: Promise<void> | undefined;
  #retry: Timer | undefined;
  #failing = false;
  #disposed: Promise<void> | undefined;

  constructor(options: RedisLastSeenStoreOptions) {
    this.#options = options;
    this.#connection = options.connection;
    this.#clock = options.clock ?? systemClock;
    this.#keys = createRedisKeys(options.connection.prefix);
    this.#connection.define(readScripts(directory, { presenceLastSeen: ["last-seen"] }));
  }

  record(userId: string, lastSeenTimeMs: number): void {
    const known = this.#waiting.get(userId) ?? this.#writing.get(userId);
    if (known !== undefined && known >= lastSeenTimeMs) return;
    this.#put(userId, lastSeenTimeMs);
    // Written at once, so that the other instances see it too; what comes meanwhile goes together.
    if (this.#retry === undefined) this.#begin();
  }

  async read(userIds: readonly string[]): Promise<(number | undefined)[]> {
    // Looked at first: what is on its way now may be written only after this has read.
    const own = userIds.map((userId) => this.#waiting.get(userId) ?? this.#writing.get(userId));
    const stored = await this.#connection.run(
      userIds.map((userId) => ["get", this.#keys.lastSeen(shardOf(userId), userId)]),
    );
    return own.map((ownTimeMs, index) => {
      const time = stored[index];
      const storedTimeMs = typeof time === "string" ? Number(time) : undefined;
      if (ownTimeMs === undefined || storedTimeMs === undefined) return ownTimeMs ?? storedTimeMs;
      return Math.max(ownTimeMs, storedTimeMs);
    });
  }

  async isEmpty(): Promise<boolean> {
    if (this.#waiting.size > 0 || this.#writing.size > 0) return false;
    const [used] = await this.#connection.run([["exists", this.#keys.lastSeenUsed]]);
    return used !== 1;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#close();
    return this.#disposed;
  }

  async #close(): Promise<void> {
    this.#retry?.cancel();
    await this.#flushing;
    if (this.#waiting.size > 0) await this.#flush();
  }

  #put(userId: string, timeMs: number): void {
    const { waitingMax = WAITING_MAX } = this.#options;
    this.#waiting.delete(userId);
    this.#waiting.set(userId, timeMs);
    if (this.#waiting.size > waitingMax) {
      this.#waiting.delete(this.#waiting.keys().next().value ?? "");
    }
  }

  #begin(): void {
    if (this.#disposed !== undefined) return;
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
      if (this.#waiting.size === 0 || this.#disposed !== undefined) return;
      if (!this.#failing) {
        this.#begin();
        return;
      }
      this.#retry = this.#clock.setTimer(this.#backoff.next(), () => {
        this.#retry = undefined;
        this.#begin();
      });
    });
  }

  async #flush(): Promise<void> {
    // What is recorded in the same turn goes together.
    await Promise.resolve();
    const writing = new Map<string, number>();
    for (const [userId, timeMs] of this.#waiting) {
      if (writing.size === TIMES_PER_FLUSH_MAX) break;
      writing.set(userId, timeMs);
      this.#waiting.delete(userId);
    }
    this.#writing = writing;
    try {
      await this.#connection.run(this.#toCommands(writing));
      this.#succeeded();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#writing = new Map();
    }
  }

  #toCommands(times: ReadonlyMap<string, number>): RedisCommand[] {
    const commands: RedisCommand[] = [["set", this.#keys.lastSeenUsed, "1", "PX", KEY_LIFE_MS]];
    for (const [shard, all] of groupByShard([...times], ([userId]) => userId)) {
      for (let at = 0; at < all.length; at += TIMES_PER_SCRIPT_MAX) {
        const some = all.slice(at, at + TIMES_PER_SCRIPT_MAX);
        const keys = some.map(([userId]) => this.#keys.lastSeen(shard, userId));
        const values = some.map(([, timeMs]) => Math.floor(timeMs));
        commands.push(["presenceLastSeen", keys.length, ...keys, KEY_LIFE_MS, ...values]);
      }
    }
    return commands;
  }

  #succeeded(): void {
    this.#backoff.reset();
    if (this.#failing) this.#options.onRecovered?.();
    this.#failing = false;
  }

  /** Puts what could not be written under what came since. Writing it twice changes nothing. */
  #failed(error: unknown): void {
    const newer = [...this.#waiting];
    this.#waiting.clear();
    for (const [userId, timeMs] of [...this.#writing, ...newer]) this.#put(userId, timeMs);
    if (!this.#failing) this.#options.onProblem?.(error);
    this.#failing = true;
  }
}
