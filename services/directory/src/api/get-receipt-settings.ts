import type { PrivacyStore } from "../account-ports.ts";
import type { DirectoryHandlers } from "./account-handler.ts";

type Deps = { readonly privacy: Pick<PrivacyStore, "filterHidingReceipts"> };

/** `DirectoryService.GetReceiptSettings` */
export function createGetReceiptSettings({
  privacy,
}: Deps): DirectoryHandlers["getReceiptSettings"] {
  return async ({ userIds }) => {
    const hiding = await privacy.filterHidingReceipts(userIds);
    return { hidingUserIds: [...hiding] };
  };
}
