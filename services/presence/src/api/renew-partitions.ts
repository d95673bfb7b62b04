import type { ServiceImpl } from "@connectrpc/connect";
import type { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import type { PartitionRoutes } from "../route-ports.ts";
import { toTaking } from "./partition-takings.ts";

type Dependencies = { readonly partitionRoutes: Pick<PartitionRoutes, "renew"> };

/** Keeps the caller the owner of its partitions, and tells it which are somebody else's by now. */
export function createRenewPartitions({
  partitionRoutes,
}: Dependencies): ServiceImpl<typeof PartitionRouteService>["renewPartitions"] {
  return async ({ address, partitions, partitionCount }) => {
    const applier = { address, partitionCount };
    return {
      lostPartitions: [...(await partitionRoutes.renew(applier, partitions.map(toTaking)))],
    };
  };
}
