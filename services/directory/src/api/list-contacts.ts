import { requireDevice } from "@parley/platform/rpc/caller";
import type { ContactStore } from "../contact-ports.ts";
import { CONTACT_PAGE, type ContactHandlers, pageLimit } from "./account-handler.ts";
import { decodeContactPlace, encodeContactPlace } from "./account-page-token.ts";
import { toContactMessage } from "./contact-answer.ts";

type Deps = { readonly contacts: Pick<ContactStore, "listContacts"> };

/** `ContactService.ListContacts` */
export function createListContacts(deps: Deps): ContactHandlers["listContacts"] {
  return async ({ pageSize, pageToken }, context) => {
    const { userId } = requireDevice(context);
    const limit = pageLimit(pageSize, CONTACT_PAGE);
    const after = decodeContactPlace(pageToken);
    const contacts = await deps.contacts.listContacts(userId, { after, limit });
    const last = contacts.length < limit ? undefined : contacts.at(-1);
    return {
      contacts: contacts.map(toContactMessage),
      nextPageToken: last === undefined ? "" : encodeContactPlace(last.place),
    };
  };
}
