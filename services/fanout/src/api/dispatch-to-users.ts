import type { ServiceImpl } from "@connectrpc/connect";
import type { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";

type Dependencies = {
  /** Resolves when the event is in the queues of the people's gateways. */
  readonly deliverEphemeral: (event: Uint8Array, userIds: readonly string[]) => Promise<unknown>;
};

/** Passes an event on to all sessions of some people. */
export function createDispatchToUsers({
  deliverEphemeral,
}: Dependencies): ServiceImpl<typeof FanoutService>["dispatchToUsers"] {
  return async ({ userIds, event }) => {
    await deliverEphemeral(event, [...new Set(userIds)]);
    return {};
  };
}
