import { invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { AccountStore } from "../account-ports.ts";
import { cleanDisplayName } from "../domain/account.ts";
import { toUserMessage } from "./account-answer.ts";
import { type AccountHandlers, accountGone } from "./account-handler.ts";

type Deps = { readonly accounts: Pick<AccountStore, "updateProfile"> };

/** `AccountService.UpdateProfile` */
export function createUpdateProfile({ accounts }: Deps): AccountHandlers["updateProfile"] {
  return async (request, context) => {
    const { userId } = requireDevice(context);
    const displayName = readDisplayName(request.displayName);
    const account = await accounts.updateProfile(userId, { displayName, about: request.about });
    if (account === undefined) throw accountGone();
    return { user: toUserMessage(account) };
  };
}

function readDisplayName(wanted: string | undefined): string | undefined {
  if (wanted === undefined) return undefined;
  const displayName = cleanDisplayName(wanted);
  if (displayName !== "") return displayName;
  throw invalidArgument("display_name", "A display name has at least one visible character.");
}
