/** What presence needs from outside to know who applies which partition of the log. */

/** One taking of a partition by an instance. */
export type PartitionTaking = {
  readonly partition: number;
  /**
   * Grows with each taking of the partition. The registry's time of the taking in ms since the Unix epoch, or one
   * more than the generation before: so it also grows when the registry was emptied in between.
   */
  readonly generation: number;
};

/** An instance that applies partitions. */
export type PartitionApplier = {
  /** `host:port` at which it takes appends. */
  readonly address: string;
  /** How many partitions its log has. */
  readonly partitionCount: number;
};

export type PartitionOwner = PartitionTaking & { readonly address: string };

export type PartitionOwners = {
  /** By partition; those without an owner are left out. */
  readonly owners: readonly PartitionOwner[];
  /** As the last taking or renewal said; 0 while nothing is known. */
  readonly partitionCount: number;
};

/**
 * Routes of partitions. They save time and decide nothing, so nothing here is durable: a registry that was
 * emptied is complete again after one renewal.
 *
 * - The owner of a partition is whoever took it last, until ROUTE_TTL_MS pass without a renewal, or until it is
 *   released.
 * - Example of what generations are for: an instance is
 *   stopped for 20 s (a debugger, a host that swaps) and another takes its partitions; when the first goes on,
 *   its next renewal arrives before it has learned of its loss. With the lower generation it changes nothing,
 *   and the answer tells it.
 * - A renewal that meets no owner at all (the registry was emptied, or the instance was late) makes the caller
 *   the owner again, with the generation that it had.
 * - Each call is atomic per partition. Time is the registry's own.
 */
export interface PartitionRoutes extends AsyncDisposable {
  take(
    applier: PartitionApplier,
    partitions: readonly number[],
  ): Promise<readonly PartitionTaking[]>;
  /** The partitions that somebody else took later. */
  renew(applier: PartitionApplier, takings: readonly PartitionTaking[]): Promise<readonly number[]>;
  /** Takings that are not the newest of their partition are ignored. */
  release(takings: readonly PartitionTaking[]): Promise<void>;
  list(): Promise<PartitionOwners>;
}
