/** Accounts and devices as the contract's messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type {
  DeviceSchema,
  PrivacySettingsSchema,
  UserSchema,
} from "@parley/gen/parley/account/v1/account_pb";
import type { Account, Device, Privacy } from "../domain/account.ts";

export function toUserMessage(account: Account): MessageInitShape<typeof UserSchema> {
  const { userId, username, displayName, about, createTimeMs } = account;
  return { userId, username, displayName, about, createTime: timestampFromMs(createTimeMs) };
}

export function toDeviceMessage(
  device: Device,
  callingDeviceId: string,
): MessageInitShape<typeof DeviceSchema> {
  const { deviceId, name, platform } = device;
  return {
    deviceId,
    name,
    platform,
    createTime: timestampFromMs(device.createTimeMs),
    lastRefreshTime: timestampFromMs(device.lastRefreshTimeMs),
    current: deviceId === callingDeviceId,
  };
}

export function toPrivacyMessage(privacy: Privacy): MessageInitShape<typeof PrivacySettingsSchema> {
  return { ...privacy };
}
