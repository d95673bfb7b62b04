import type { Clock } from "@parley/platform/clock";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { DeviceStore, Revocations } from "../account-ports.ts";
import type { AccountHandlers } from "./account-handler.ts";

type Deps = {
  readonly devices: Pick<DeviceStore, "revokeDevice">;
  readonly revocations: Revocations;
  readonly clock: Clock;
};

/** `AccountService.SignOut` */
export function createSignOut(deps: Deps): AccountHandlers["signOut"] {
  return async (_request, context) => {
    const { userId, deviceId } = requireDevice(context);
    await deps.devices.revokeDevice(userId, deviceId, deps.clock.nowMs());
    await deps.revocations.waitEnded([deviceId]);
    return {};
  };
}
