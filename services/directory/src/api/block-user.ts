import type { Clock } from "@parley/platform/clock";
import { failedPrecondition, invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { ContactStore, SendPermissions } from "../contact-ports.ts";
import { BLOCKS_MAX } from "../domain/account.ts";
import { type ContactHandlers, userNotFound } from "./account-handler.ts";

type Deps = {
  readonly contacts: Pick<ContactStore, "blockUser">;
  readonly sendPermissions: SendPermissions;
  readonly clock: Clock;
};

/** `ContactService.BlockUser` */
export function createBlockUser(deps: Deps): ContactHandlers["blockUser"] {
  return async (request, context) => {
    const { userId } = requireDevice(context);
    if (request.userId === userId) {
      throw invalidArgument("user_id", "Nobody blocks themselves.");
    }
    const options = { blocksMax: BLOCKS_MAX, nowMs: deps.clock.nowMs() };
    const { kind } = await deps.contacts.blockUser(userId, request.userId, options);
    if (kind === "user-not-found") throw userNotFound();
    if (kind === "block-limit") {
      throw failedPrecondition("BLOCK_LIMIT", "The caller blocks enough people.", {
        blocks_max: String(BLOCKS_MAX),
      });
    }
    await deps.sendPermissions.waitApplied(userId, request.userId);
    return {};
  };
}
