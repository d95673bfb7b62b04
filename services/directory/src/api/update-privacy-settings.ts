import { invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { AccountStore } from "../account-ports.ts";
import { toPrivacyMessage } from "./account-answer.ts";
import { type AccountHandlers, accountGone } from "./account-handler.ts";

type Deps = { readonly accounts: Pick<AccountStore, "updatePrivacy"> };

/** `AccountService.UpdatePrivacySettings` */
export function createUpdatePrivacySettings({
  accounts,
}: Deps): AccountHandlers["updatePrivacySettings"] {
  return async ({ privacy }, context) => {
    const { userId } = requireDevice(context);
    if (privacy === undefined) throw invalidArgument("privacy", "The settings are missing.");
    const { presenceVisibility, sendReadReceipts, searchable } = privacy;
    const settings = { presenceVisibility, sendReadReceipts, searchable };
    if (!(await accounts.updatePrivacy(userId, settings))) throw accountGone();
    return { privacy: toPrivacyMessage(settings) };
  };
}
