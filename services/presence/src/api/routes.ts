/** What this service serves. */
import type { Client } from "@connectrpc/connect";
import type { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import { SessionRegistryService } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { PresenceService } from "@parley/gen/parley/presence/v1/presence_service_pb";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { SessionRegistry } from "../ports.ts";
import type { PartitionRoutes } from "../route-ports.ts";
import { createBatchGetPresence } from "./batch-get-presence.ts";
import { createListPartitionOwners } from "./list-partition-owners.ts";
import { createLookUpSessions } from "./look-up-sessions.ts";
import { createRecordHeartbeats } from "./record-heartbeats.ts";
import { createReleasePartitions } from "./release-partitions.ts";
import { createRemoveSessions } from "./remove-sessions.ts";
import { createRenewPartitions } from "./renew-partitions.ts";
import { createTakePartitions } from "./take-partitions.ts";
import { createWatchPresence } from "./watch-presence.ts";

export type RoutesDependencies = {
  readonly registry: SessionRegistry;
  readonly partitionRoutes: PartitionRoutes;
  readonly directory: Client<typeof DirectoryService>;
  readonly log: Logger;
  readonly onRefused: (count: number) => void;
  readonly stopSignal: AbortSignal;
};

export function createRoutes(dependencies: RoutesDependencies): Routes {
  return [
    defineRoute(SessionRegistryService, {
      recordHeartbeats: createRecordHeartbeats(dependencies),
      removeSessions: createRemoveSessions(dependencies),
      lookUpSessions: createLookUpSessions(dependencies),
      watchPresence: createWatchPresence(dependencies),
    }),
    defineRoute(PartitionRouteService, {
      takePartitions: createTakePartitions(dependencies),
      renewPartitions: createRenewPartitions(dependencies),
      releasePartitions: createReleasePartitions(dependencies),
      listPartitionOwners: createListPartitionOwners(dependencies),
    }),
    defineRoute(PresenceService, {
      batchGetPresence: createBatchGetPresence(dependencies),
    }),
  ];
}
