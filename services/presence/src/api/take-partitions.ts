import type { ServiceImpl } from "@connectrpc/connect";
import type { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import type { PartitionRoutes } from "../route-ports.ts";
import { toOwnedPartition } from "./partition-takings.ts";

type Dependencies = { readonly partitionRoutes: Pick<PartitionRoutes, "take"> };

/** Makes the caller the owner of partitions. */
export function createTakePartitions({
  partitionRoutes,
}: Dependencies): ServiceImpl<typeof PartitionRouteService>["takePartitions"] {
  return async ({ address, partitions, partitionCount }) => {
    const takings = await partitionRoutes.take({ address, partitionCount }, partitions);
    return { partitions: takings.map(toOwnedPartition) };
  };
}
