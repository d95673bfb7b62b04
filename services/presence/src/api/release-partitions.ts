import type { ServiceImpl } from "@connectrpc/connect";
import type { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import type { PartitionRoutes } from "../route-ports.ts";
import { toTaking } from "./partition-takings.ts";

type Dependencies = { readonly partitionRoutes: Pick<PartitionRoutes, "release"> };

/** Takes the caller's partitions out. */
export function createReleasePartitions({
  partitionRoutes,
}: Dependencies): ServiceImpl<typeof PartitionRouteService>["releasePartitions"] {
  return async ({ partitions }) => {
    await partitionRoutes.release(partitions.map(toTaking));
    return {};
  };
}
