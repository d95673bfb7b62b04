import { requireDevice } from "@parley/platform/rpc/caller";
import type { ContactStore, SendPermissions } from "../contact-ports.ts";
import type { ContactHandlers } from "./account-handler.ts";

type Deps = {
  readonly contacts: Pick<ContactStore, "unblockUser">;
  readonly sendPermissions: SendPermissions;
};

/** `ContactService.UnblockUser` */
export function createUnblockUser(deps: Deps): ContactHandlers["unblockUser"] {
  return async (request, context) => {
    const { userId } = requireDevice(context);
    await deps.contacts.unblockUser(userId, request.userId);
    await deps.sendPermissions.waitApplied(userId, request.userId);
    return {};
  };
}
