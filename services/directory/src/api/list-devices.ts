import type { Clock } from "@parley/platform/clock";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { DeviceStore } from "../account-ports.ts";
import { toDeviceMessage } from "./account-answer.ts";
import type { AccountHandlers } from "./account-handler.ts";

type Deps = { readonly devices: Pick<DeviceStore, "listDevices">; readonly clock: Clock };

/** `AccountService.ListDevices` */
export function createListDevices(deps: Deps): AccountHandlers["listDevices"] {
  return async (_request, context) => {
    const { userId, deviceId } = requireDevice(context);
    const devices = await deps.devices.listDevices(userId, deps.clock.nowMs());
    return { devices: devices.map((device) => toDeviceMessage(device, deviceId)) };
  };
}
