/**
 * Last-seen times in an LMDB file.
 *
 * ```
 * key    user id                               as text
 * value  last seen, ms since the Unix epoch    8 bytes, little endian
 * ```
 */
import { systemClock, type Timer, type TimerClock } from "@parley/platform/clock";
import { open, type RootDatabase } from "lmdb";
import type { LastSeenStore } from "../ports.ts";

export type LmdbLastSeenStoreOptions = {
  /** Directory of this store alone; created if missing. */
  readonly directory: string;
  readonly clock?: TimerClock;
  /** Called when a write failed; the times are written again later. Must not throw. */
  readonly onProblem?: (error: unknown) => void;
};

/** How long times are collected: what a crash may lose of them. */
const FLUSH_DELAY_MS = 5000;

/** Opens the store, or creates it. Disposing it writes what is waiting. */
export function createLmdbLastSeenStore(options: LmdbLastSeenStoreOptions): LastSeenStore {
  return new LmdbLastSeenStore(options);
}

class LmdbLastSeenStore implements LastSeenStore {
  readonly #database: RootDatabase<Buffer, string>;
  readonly #clock: TimerClock;
  readonly #onProblem: (error: unknown) => void;
  // Bounded by the people who were online within one delay: later times replace earlier ones.
  #waiting = new Map<string, number>();
  #writing: Map<string, number> | undefined;
  #timer: Timer | undefined;
  #flushing: Promise<void> | undefined;
  #disposed: Promise<void> | undefined;

  constructor(options: LmdbLastSeenStoreOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#onProblem = options.onProblem ?? (() => undefined);
    this.#database = open<Buffer, string>({ path: options.directory, encoding: "binary" });
  }

  record(userId: string, lastSeenTimeMs: number): void {
    if (lastSeenTimeMs <= (this.#find(userId) ?? Number.NEGATIVE_INFINITY)) return;
    this.#waiting.set(userId, lastSeenTimeMs);
    this.#setTimer();
  }

  async read(userIds: readonly string[]): Promise<(number | undefined)[]> {
    return userIds.map((userId) => this.#find(userId));
  }

  async isEmpty(): Promise<boolean> {
    if (this.#waiting.size > 0 || this.#writing !== undefined) return false;
    return this.#database.getKeysCount({ limit: 1 }) === 0;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#close();
    return this.#disposed;
  }

  async #close(): Promise<void> {
    this.#timer?.cancel();
    await this.#flushing;
    await this.#flush();
    await this.#database.close();
  }

  #find(userId: string): number | undefined {
    const waiting = this.#waiting.get(userId) ?? this.#writing?.get(userId);
    if (waiting !== undefined) return waiting;
    // Read at once: the buffer is the database's own until its next call.
    const value = this.#database.getBinaryFast(userId);
    return value === undefined ? undefined : Number(value.readBigInt64LE(0));
  }

  #setTimer(): void {
    if (this.#disposed !== undefined) return;
    this.#timer ??= this.#clock.setTimer(FLUSH_DELAY_MS, () => {
      this.#timer = undefined;
      this.#flushing = this.#flush().then(() => {
        this.#flushing = undefined;
        if (this.#waiting.size > 0) this.#setTimer();
      });
    });
  }

  async #flush(): Promise<void> {
    if (this.#waiting.size === 0 || this.#writing !== undefined) return;
    const writing = this.#waiting;
    this.#writing = writing;
    this.#waiting = new Map();
    try {
      await this.#database.transaction(() => {
        for (const [userId, timeMs] of writing) {
          const value = Buffer.allocUnsafe(8);
          value.writeBigInt64LE(BigInt(Math.floor(timeMs)));
          this.#database.put(userId, value);
        }
      });
      await this.#database.flushed;
    } catch (error) {
      for (const [userId, timeMs] of writing) {
        if (!this.#waiting.has(userId)) this.#waiting.set(userId, timeMs);
      }
      this.#onProblem(error);
    } finally {
      this.#writing = undefined;
    }
  }
}
