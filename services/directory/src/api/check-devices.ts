import type { Clock } from "@parley/platform/clock";
import type { DeviceStore } from "../account-ports.ts";
import type { DirectoryHandlers } from "./account-handler.ts";

type Deps = { readonly devices: Pick<DeviceStore, "filterRevoked">; readonly clock: Clock };

/** `DirectoryService.CheckDevices` */
export function createCheckDevices({ devices, clock }: Deps): DirectoryHandlers["checkDevices"] {
  return async ({ deviceIds }) => {
    const revoked = await devices.filterRevoked(deviceIds, clock.nowMs());
    return { revokedDeviceIds: [...revoked] };
  };
}
