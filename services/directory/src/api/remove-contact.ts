import { requireDevice } from "@parley/platform/rpc/caller";
import type { ContactStore } from "../contact-ports.ts";
import type { ContactHandlers } from "./account-handler.ts";

type Deps = { readonly contacts: Pick<ContactStore, "removeContact"> };

/** `ContactService.RemoveContact` */
export function createRemoveContact({ contacts }: Deps): ContactHandlers["removeContact"] {
  return async (request, context) => {
    const { userId } = requireDevice(context);
    await contacts.removeContact(userId, request.userId);
    return {};
  };
}
