import type { ServiceImpl } from "@connectrpc/connect";
import type { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";

type Dependencies = {
  /** Ends sessions on every gateway that holds one of the person's; all devices' when none is named. */
  readonly revoke: (userId: string, deviceIds: readonly string[]) => Promise<void>;
};

/** Ends the sessions of devices that may not have any. */
export function createRevokeSessions({
  revoke,
}: Dependencies): ServiceImpl<typeof FanoutService>["revokeSessions"] {
  return async ({ userId, deviceIds }) => {
    await revoke(userId, deviceIds);
    return {};
  };
}
