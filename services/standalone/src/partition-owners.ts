/** Who applies which partition, as the registry last said: asked again from time to time, and when it proves wrong. */
import type { Client } from "@connectrpc/connect";
import type { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import type { Timer, TimerClock } from "@parley/platform/clock";
import { partitionOf } from "@parley/platform/log/partition";
import type { Logger } from "@parley/platform/telemetry/logger";

export type PartitionOwners = AsyncDisposable & {
  /** The address of whoever applies a conversation's partition; undefined while nobody is known to. */
  ownerOf(conversationId: string): string | undefined;
  /** Resolves when the registry has been asked after this call, successfully or not. */
  refresh(): Promise<void>;
};

/** A partition that moved is noticed by the refusal of whoever had it; this is for the others. */
const REFRESH_INTERVAL_MS = 2000;
/** A refusal storm asks this often at most. */
const REFRESH_PAUSE_MS = 100;
const REFRESH_TIMEOUT_MS = 1000;

export function createPartitionOwners(options: {
  readonly routes: Pick<Client<typeof PartitionRouteService>, "listPartitionOwners">;
  readonly clock: TimerClock;
  readonly log: Logger;
}): PartitionOwners {
  return new RefreshedOwners(options);
}

class RefreshedOwners implements PartitionOwners {
  readonly #options: Parameters<typeof createPartitionOwners>[0];
  #addresses = new Map<number, string>();
  #partitionCount = 0;
  #refreshing: Promise<void> | undefined;
  #timer: Timer | undefined;
  #failed = false;
  #disposed = false;

  constructor(options: Parameters<typeof createPartitionOwners>[0]) {
    this.#options = options;
    this.#setTimer();
  }

  ownerOf(conversationId: string): string | undefined {
    if (this.#partitionCount === 0) return undefined;
    return this.#addresses.get(partitionOf(conversationId, this.#partitionCount));
  }

  refresh(): Promise<void> {
    // One that is under way may have been answered before what the caller saw.
    this.#refreshing ??= this.#pause()
      .then(() => this.#ask())
      .finally(() => {
        this.#refreshing = undefined;
      });
    return this.#refreshing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#timer?.cancel();
    await this.#refreshing;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#options.clock.setTimer(REFRESH_PAUSE_MS, resolve));
  }

  async #ask(): Promise<void> {
    const { routes, log } = this.#options;
    if (this.#disposed) return;
    try {
      const timeoutMs = REFRESH_TIMEOUT_MS;
      const { owners, partitionCount } = await routes.listPartitionOwners({}, { timeoutMs });
      this.#failed = false;
      // An empty registry says nothing of who applies them: the addresses of before are the best guess.
      if (partitionCount === 0) return;
      this.#partitionCount = partitionCount;
      this.#addresses = new Map(owners.map(({ partition, address }) => [partition, address]));
    } catch (error) {
      if (!this.#failed)
        log.warn({ error }, "The owners of the log's partitions cannot be listed.");
      this.#failed = true;
    }
  }

  #setTimer(): void {
    this.#timer = this.#options.clock.setTimer(REFRESH_INTERVAL_MS, () => {
      void this.refresh().then(() => {
        if (!this.#disposed) this.#setTimer();
      });
    });
  }
}
