import { requireDevice } from "@parley/platform/rpc/caller";
import type { AccountStore } from "../account-ports.ts";
import { toPrivacyMessage, toUserMessage } from "./account-answer.ts";
import { type AccountHandlers, requireAccount } from "./account-handler.ts";

type Deps = { readonly accounts: Pick<AccountStore, "readAccounts"> };

/** `AccountService.GetAccount` */
export function createGetAccount({ accounts }: Deps): AccountHandlers["getAccount"] {
  return async (_request, context) => {
    const { userId, deviceId } = requireDevice(context);
    const account = await requireAccount(accounts, userId);
    const privacy = toPrivacyMessage(account.privacy);
    return { user: toUserMessage(account), deviceId, privacy };
  };
}
