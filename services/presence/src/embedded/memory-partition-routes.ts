/** Routes of partitions in memory, for one presence process. */
import type { Clock } from "@parley/platform/clock";
import { ROUTE_TTL_MS } from "../domain/route-rules.ts";
import type { PartitionOwner, PartitionRoutes } from "../route-ports.ts";

type Held = PartitionOwner & { readonly expireTimeMs: number };

export function createMemoryPartitionRoutes({ clock }: { readonly clock: Clock }): PartitionRoutes {
  const held = new Map<number, Held>();
  /** Outlives owners, so that a generation is not given out again. */
  const generations = new Map<number, number>();
  let partitionCount = 0;

  const ownerOf = (partition: number) => {
    const owner = held.get(partition);
    return owner !== undefined && owner.expireTimeMs > clock.monotoneMs() ? owner : undefined;
  };
  const hold = (owner: PartitionOwner) =>
    held.set(owner.partition, { ...owner, expireTimeMs: clock.monotoneMs() + ROUTE_TTL_MS });

  return {
    async take({ address, partitionCount: count }, partitions) {
      partitionCount = count;
      return partitions.map((partition) => {
        const generation = Math.max((generations.get(partition) ?? 0) + 1, clock.nowMs());
        generations.set(partition, generation);
        hold({ partition, generation, address });
        return { partition, generation };
      });
    },
    async renew({ address, partitionCount: count }, takings) {
      partitionCount = count;
      return takings.flatMap(({ partition, generation }) => {
        const newest = Math.max(
          generations.get(partition) ?? 0,
          ownerOf(partition)?.generation ?? 0,
        );
        if (newest > generation) return [partition];
        generations.set(partition, generation);
        hold({ partition, generation, address });
        return [];
      });
    },
    async release(takings) {
      for (const { partition, generation } of takings) {
        if (held.get(partition)?.generation === generation) held.delete(partition);
      }
    },
    async list() {
      const owners = [...held.keys()]
        .toSorted((a, b) => a - b)
        .flatMap((partition) => {
          const owner = ownerOf(partition);
          if (owner === undefined) return [];
          const { generation, address } = owner;
          return [{ partition, generation, address }];
        });
      return { owners, partitionCount: owners.length === 0 ? 0 : partitionCount };
    },
    async [Symbol.asyncDispose]() {
      held.clear();
    },
  };
}
