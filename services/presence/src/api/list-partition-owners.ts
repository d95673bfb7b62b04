import type { ServiceImpl } from "@connectrpc/connect";
import type { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import type { PartitionRoutes } from "../route-ports.ts";

type Dependencies = { readonly partitionRoutes: Pick<PartitionRoutes, "list"> };

/** Names the owners of all partitions that have one. */
export function createListPartitionOwners({
  partitionRoutes,
}: Dependencies): ServiceImpl<typeof PartitionRouteService>["listPartitionOwners"] {
  return async () => {
    const { owners, partitionCount } = await partitionRoutes.list();
    const encoded = owners.map(({ partition, address, generation }) => ({
      partition,
      address,
      generation: BigInt(generation),
    }));
    return { owners: encoded, partitionCount };
  };
}
