/** The whole service on its real stores, with a directory that tests hold in hand. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  DirectoryService,
  type FilterVisiblePresenceRequest,
} from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import { SessionRegistryService } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { PresenceService } from "@parley/gen/parley/presence/v1/presence_service_pb";
import { createManualClock } from "@parley/platform/clock";
import type { Caller } from "@parley/platform/rpc/caller";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import type { RedisConfig } from "@parley/platform/storage/engine/redis-config";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { createPresenceService } from "../service.ts";

/** Who is asked about is a UUID. */
export const userOf = (number: number) =>
  `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

/** Creates and starts it; `sessionsMax` bounds the registry. */
export async function createTestService(
  options: {
    readonly directory?: string;
    readonly sessionsMax?: number;
    readonly redis?: RedisConfig;
  } = {},
) {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), "parley-presence-")));
  const telemetry = silentTelemetry();
  const clock = createManualClock();
  const transportTo = (routes: Routes, asCaller: Caller): Transport =>
    createInProcessTransport({ routes, interceptors: standardInterceptors(telemetry), asCaller });
  const internal: Caller = { kind: "internal", service: "test" };
  const visible = new Set<string>();
  const filtered: FilterVisiblePresenceRequest[] = [];
  const directoryRoute = defineRoute(DirectoryService, {
    async filterVisiblePresence(request) {
      filtered.push(request);
      return { visibleUserIds: request.userIds.filter((userId) => visible.has(userId)) };
    },
    getVerificationKeys: async () => ({}),
    checkDevices: async () => ({}),
    getReceiptSettings: async () => ({}),
  });
  const service = await createPresenceService(
    { ...options, directory, sessionsMax: options.sessionsMax ?? 1000 },
    { telemetry, clock, transports: { directory: transportTo([directoryRoute], internal) } },
  );
  await service.start();
  const registry = createClient(SessionRegistryService, transportTo(service.routes, internal));
  const partitions = createClient(PartitionRouteService, transportTo(service.routes, internal));

  return {
    directory,
    clock,
    telemetry,
    service,
    registry,
    partitions,
    /** People whom the directory lets be seen. */
    visible,
    /** What the directory was asked. */
    filtered,
    /** Presence as a person's device asks for it. */
    presenceFor: (userId: string) => {
      const device: Caller = { kind: "device", userId, deviceId: "d", expireTimeMs: 4e12 };
      return createClient(PresenceService, transportTo(service.routes, device));
    },
    /** A heartbeat of one gateway with one session per person. */
    heartbeat: (gatewayId: string, userIds: readonly string[], ageMs = 0) =>
      registry.recordHeartbeats({
        gatewayId,
        gatewayAddress: `${gatewayId}:1`,
        sessions: userIds.map((userId) => ({
          ...{ sessionId: `${gatewayId} ${userId}`, userId, deviceId: "d", ageMs },
        })),
      }),
    /** Ends the service; the data stays. */
    stop: () => service[Symbol.asyncDispose](),
    async [Symbol.asyncDispose]() {
      await this.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export type TestService = Awaited<ReturnType<typeof createTestService>>;
