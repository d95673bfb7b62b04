/** `DeliveryService.EndSessions`: the sessions of devices that were signed out. */
import type { EndSessionsRequest } from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import type { DeviceChecks } from "../session/device-checks.ts";
import type { Hub } from "../session/hub.ts";

export function createEndSessions(dependencies: {
  readonly hub: Pick<Hub, "endDevices">;
  readonly deviceChecks: Pick<DeviceChecks, "forget">;
}) {
  const { hub, deviceChecks } = dependencies;
  return ({ userId, deviceIds }: EndSessionsRequest) => {
    deviceChecks.forget();
    return { endedCount: hub.endDevices(userId, deviceIds) };
  };
}
