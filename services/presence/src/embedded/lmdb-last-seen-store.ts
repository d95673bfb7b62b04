/**
 * Last-seen times in an LMDB file.
 *
 * ```
 * key    user id                               as text
 * value  last seen, ms since the Unix epoch    8 bytes, little endian
 * ```
 */
import { createBackoff } from "@parley/platform/async/backoff";
import { systemClock, type Timer, type TimerClock } from "@parley/platform/clock";
import {
  createLmdbCommit,
  type LmdbCommit,
  openLmdb,
} from "@parley/platform/storage/embedded/lmdb";
import type { RootDatabase } from "lmdb";
import type { LastSeenStore } from "../ports.ts";

export type LmdbLastSeenStoreOptions = {
  /** Directory of this store alone; created if missing. */
  readonly directory: string;
  readonly clock?: TimerClock;
  /** Called when writes begin to fail; they are repeated. Must not throw. */
  readonly onProblem?: (error: unknown) => void;
  /** Called when one succeeds again. Must not throw. */
  readonly onRecovered?: () => void;
  /** People whose times may wait for a disk that takes no writes; default WAITING_MAX. */
  readonly waitingMax?: number;
};

/** How long times are collected: what a crash may lose of them. */
const FLUSH_DELAY_MS = 5000;

/** Between attempts of a disk that takes no writes; nobody waits for these, so the pause may grow long. */
const RETRY_MAX_MS = 60_000;

/** About 20 MB. Beyond it the times that have waited for longest are given up: they are the oldest. */
const WAITING_MAX = 200_000;

const REMEDY =
  "move this directory aside, and times are kept from now on; or restore it from a backup";

/** The directory or the file cannot be used. The message names the variable that says where it is. */
export class LastSeenOpenError extends Error {
  override readonly name = "LastSeenOpenError";
}

/** Opens the store, or creates it. Disposing it writes what is waiting. Throws LastSeenOpenError. */
export function createLmdbLastSeenStore(options: LmdbLastSeenStoreOptions): LastSeenStore {
  return new LmdbLastSeenStore(options);
}

class LmdbLastSeenStore implements LastSeenStore {
  readonly #database: RootDatabase<Buffer, string>;
  readonly #clock: TimerClock;
  readonly #commit: LmdbCommit;
  readonly #onProblem: (error: unknown) => void;
  readonly #onRecovered: () => void;
  readonly #waitingMax: number;
  readonly #backoff = createBackoff({ initialMs: 2 * FLUSH_DELAY_MS, maxMs: RETRY_MAX_MS });
  #failing = false;
  // In the order of the times. Later ones replace earlier ones.
  #waiting = new Map<string, number>();
  #writing: Map<string, number> | undefined;
  #timer: Timer | undefined;
  #flushing: Promise<void> | undefined;
  #disposed: Promise<void> | undefined;

  constructor(options: LmdbLastSeenStoreOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#onProblem = options.onProblem ?? (() => undefined);
    this.#onRecovered = options.onRecovered ?? (() => undefined);
    this.#waitingMax = options.waitingMax ?? WAITING_MAX;
    this.#database = openRoot(options.directory);
    this.#commit = createLmdbCommit(this.#database);
  }

  record(userId: string, lastSeenTimeMs: number): void {
    if (lastSeenTimeMs <= (this.#find(userId) ?? Number.NEGATIVE_INFINITY)) return;
    this.#put(userId, lastSeenTimeMs);
    this.#setTimer(FLUSH_DELAY_MS);
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

  #put(userId: string, timeMs: number): void {
    this.#waiting.delete(userId);
    this.#waiting.set(userId, timeMs);
    if (this.#waiting.size <= this.#waitingMax) return;
    const [oldest = ""] = this.#waiting.keys();
    this.#waiting.delete(oldest);
  }

  #find(userId: string): number | undefined {
    const waiting = this.#waiting.get(userId) ?? this.#writing?.get(userId);
    if (waiting !== undefined) return waiting;
    // Read at once: the buffer is the database's own until its next call.
    const value = this.#database.getBinaryFast(userId);
    return value === undefined ? undefined : Number(value.readBigInt64LE(0));
  }

  #setTimer(delayMs: number): void {
    if (this.#disposed !== undefined || this.#flushing !== undefined) return;
    this.#timer ??= this.#clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      this.#flushing = this.#flush().then(() => {
        this.#flushing = undefined;
        if (this.#waiting.size === 0) return;
        this.#setTimer(this.#failing ? this.#backoff.next() : FLUSH_DELAY_MS);
      });
    });
  }

  async #flush(): Promise<void> {
    if (this.#waiting.size === 0 || this.#writing !== undefined) return;
    const writing = this.#waiting;
    this.#writing = writing;
    this.#waiting = new Map();
    try {
      await this.#commit(() => {
        for (const [userId, timeMs] of writing) {
          const value = Buffer.allocUnsafe(8);
          value.writeBigInt64LE(BigInt(Math.floor(timeMs)));
          this.#database.put(userId, value);
        }
      });
      this.#succeeded();
    } catch (error) {
      this.#failed(writing, error);
    } finally {
      this.#writing = undefined;
    }
  }

  #succeeded(): void {
    this.#backoff.reset();
    if (this.#failing) this.#onRecovered();
    this.#failing = false;
  }

  /** Puts what could not be written under what came since. */
  #failed(writing: ReadonlyMap<string, number>, error: unknown): void {
    const newer = this.#waiting;
    this.#waiting = new Map();
    for (const times of [writing, newer]) {
      for (const [userId, timeMs] of times) this.#put(userId, timeMs);
    }
    if (!this.#failing) this.#onProblem(error);
    this.#failing = true;
  }
}

function openRoot(directory: string): RootDatabase<Buffer, string> {
  try {
    return openLmdb<string>(directory, { keys: "text", remedy: REMEDY });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new LastSeenOpenError(
      `The last-seen times in ${directory} cannot be opened: ${reason}. ` +
        "PARLEY_DATA_DIRECTORY says where they are.",
      { cause: error },
    );
  }
}
