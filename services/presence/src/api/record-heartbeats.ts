import type { ServiceImpl } from "@connectrpc/connect";
import type { SessionRegistryService } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { SessionRegistry } from "../ports.ts";

type Dependencies = {
  readonly registry: Pick<SessionRegistry, "record">;
  readonly log: Logger;
  readonly onRefused: (count: number) => void;
};

/** Registers or renews a gateway's sessions, and names those that the registry had not known. */
export function createRecordHeartbeats({
  registry,
  log,
  onRefused,
}: Dependencies): ServiceImpl<typeof SessionRegistryService>["recordHeartbeats"] {
  return async (request) => {
    const { newSessionIds, refusedCount } = await registry.record(request, request.sessions);
    if (refusedCount > 0) {
      onRefused(refusedCount);
      const { gatewayId } = request;
      log.warn({ gateway_id: gatewayId, refused: refusedCount }, "The session registry is full.");
    }
    return { newSessionIds };
  };
}
