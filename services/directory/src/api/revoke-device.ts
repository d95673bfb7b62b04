import type { Clock } from "@parley/platform/clock";
import { notFound } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { DeviceStore, Revocations } from "../account-ports.ts";
import type { AccountHandlers } from "./account-handler.ts";

type Deps = {
  readonly devices: Pick<DeviceStore, "revokeDevice">;
  readonly revocations: Revocations;
  readonly clock: Clock;
};

/** `AccountService.RevokeDevice` */
export function createRevokeDevice(deps: Deps): AccountHandlers["revokeDevice"] {
  return async ({ deviceId }, context) => {
    const { userId } = requireDevice(context);
    const found = await deps.devices.revokeDevice(userId, deviceId, deps.clock.nowMs());
    if (!found) throw notFound("DEVICE_NOT_FOUND", "The caller has no such device.");
    await deps.revocations.waitEnded([deviceId]);
    return {};
  };
}
