/** Tells the registry of routes which partitions are applied here, so that appends come straight to them. */
import type { Client } from "@connectrpc/connect";
import type { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import type { TimerClock } from "@parley/platform/clock";
import type { Logger } from "@parley/platform/telemetry/logger";
import { repeat } from "./housekeeping.ts";

export type PartitionAnnouncer = AsyncDisposable & {
  /** A partition is applied here from now on. */
  taken(partition: number): void;
  /** A partition is applied here no longer. */
  released(partition: number): void;
};

export type PartitionAnnouncerOptions = {
  readonly routes: Client<typeof PartitionRouteService>;
  /** `host:port` at which others reach this instance. */
  readonly address: string;
  readonly partitionCount: number;
  readonly clock: TimerClock;
  readonly log: Logger;
};

/** The contract: what is not renewed for 10 seconds has no owner. */
const RENEWAL_MS = 2000;
const CALL_TIMEOUT_MS = 1500;

/**
 * Creates the announcer. Failures are logged once and made up for by the next renewal: routes only save time.
 * Disposing it releases what is left.
 */
export function createPartitionAnnouncer(options: PartitionAnnouncerOptions): PartitionAnnouncer {
  return new Announcer(options);
}

class Announcer implements PartitionAnnouncer {
  readonly #options: PartitionAnnouncerOptions;
  /** Partitions applied here, with the generation of their taking; undefined until the registry knows of it. */
  readonly #held = new Map<number, bigint | undefined>();
  readonly #renewing: AsyncDisposable;
  /** Calls one after the other, so that a release never overtakes its taking. */
  #turn: Promise<void> = Promise.resolve();
  #scheduled = false;
  #failed = false;

  constructor(options: PartitionAnnouncerOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#renewing = repeat({ clock, log, name: "partition routes", intervalMs: RENEWAL_MS }, () =>
      this.#next(() => this.#renew()),
    );
  }

  taken(partition: number): void {
    this.#held.set(partition, undefined);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // What one change of the group brings is announced together.
    setImmediate(() => {
      this.#scheduled = false;
      void this.#next(() => this.#take());
    });
  }

  released(partition: number): void {
    void this.#next(() => this.#release([partition]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#renewing[Symbol.asyncDispose]();
    await this.#next(() => this.#release([...this.#held.keys()]));
  }

  #next(call: () => Promise<void>): Promise<void> {
    const { log } = this.#options;
    this.#turn = this.#turn.then(call).then(
      () => {
        this.#failed = false;
      },
      (error: unknown) => {
        if (!this.#failed) log.warn({ error }, "The routes of partitions could not be announced.");
        this.#failed = true;
      },
    );
    return this.#turn;
  }

  async #take(): Promise<void> {
    const { routes, address, partitionCount } = this.#options;
    const partitions = [...this.#held].flatMap(([partition, generation]) =>
      generation === undefined ? [partition] : [],
    );
    if (partitions.length === 0) return;
    const request = { address, partitionCount, partitions };
    const taken = await routes.takePartitions(request, { timeoutMs: CALL_TIMEOUT_MS });
    for (const { partition, generation } of taken.partitions) {
      if (this.#held.has(partition)) this.#held.set(partition, generation);
    }
  }

  async #renew(): Promise<void> {
    await this.#take();
    const { routes, address, partitionCount, log } = this.#options;
    const partitions = this.#owned([...this.#held.keys()]);
    if (partitions.length === 0) return;
    const request = { address, partitionCount, partitions };
    const { lostPartitions } = await routes.renewPartitions(request, {
      timeoutMs: CALL_TIMEOUT_MS,
    });
    if (lostPartitions.length === 0) return;
    // The log decides who applies them; it tells this instance in a moment.
    log.info({ partitions: lostPartitions }, "Another instance has taken partitions over.");
  }

  async #release(partitions: readonly number[]): Promise<void> {
    const owned = this.#owned(partitions);
    for (const partition of partitions) this.#held.delete(partition);
    if (owned.length === 0) return;
    const { routes } = this.#options;
    await routes.releasePartitions({ partitions: owned }, { timeoutMs: CALL_TIMEOUT_MS });
  }

  #owned(partitions: readonly number[]) {
    return partitions.flatMap((partition) => {
      const generation = this.#held.get(partition);
      return generation === undefined ? [] : [{ partition, generation }];
    });
  }
}
