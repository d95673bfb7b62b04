import { requireDevice } from "@parley/platform/rpc/caller";
import type { AccountStore } from "../account-ports.ts";
import { foldForSearch } from "../domain/account.ts";
import { toUserMessage } from "./account-answer.ts";
import { type AccountHandlers, pageLimit, SEARCH_PAGE } from "./account-handler.ts";
import { decodeSearchPlace, encodeSearchPlace } from "./account-page-token.ts";

type Deps = { readonly accounts: Pick<AccountStore, "searchAccounts"> };

/** `AccountService.SearchUsers` */
export function createSearchUsers({ accounts }: Deps): AccountHandlers["searchUsers"] {
  return async (request, context) => {
    const { userId } = requireDevice(context);
    const prefix = foldForSearch(request.query);
    const limit = pageLimit(request.pageSize, SEARCH_PAGE);
    const after = decodeSearchPlace(request.pageToken);
    // Blanks are the start of every name, and nobody's.
    if (prefix === "") return { users: [] };
    const matches = await accounts.searchAccounts({ viewerUserId: userId, prefix, after, limit });
    const last = matches.length < limit ? undefined : matches.at(-1);
    return {
      users: matches.map((match) => toUserMessage(match.account)),
      nextPageToken: last === undefined ? "" : encodeSearchPlace(last.place),
    };
  };
}
