import { requireDevice } from "@parley/platform/rpc/caller";
import type { ContactStore } from "../contact-ports.ts";
import { CONTACT_PAGE, type ContactHandlers, pageLimit } from "./account-handler.ts";
import { decodeBlockPlace, encodeBlockPlace } from "./account-page-token.ts";
import { toBlockMessage } from "./contact-answer.ts";

type Deps = { readonly contacts: Pick<ContactStore, "listBlocks"> };

/** `ContactService.ListBlocks` */
export function createListBlocks(deps: Deps): ContactHandlers["listBlocks"] {
  return async ({ pageSize, pageToken }, context) => {
    const { userId } = requireDevice(context);
    const limit = pageLimit(pageSize, CONTACT_PAGE);
    const after = decodeBlockPlace(pageToken);
    const blocks = await deps.contacts.listBlocks(userId, { after, limit });
    const last = blocks.length < limit ? undefined : blocks.at(-1);
    const place = last && { createTimeMs: last.createTimeMs, userId: last.account.userId };
    return {
      blocks: blocks.map(toBlockMessage),
      nextPageToken: place === undefined ? "" : encodeBlockPlace(place),
    };
  };
}
