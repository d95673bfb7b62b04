import type { AccountStore } from "../account-ports.ts";
import { toUserMessage } from "./account-answer.ts";
import type { AccountHandlers } from "./account-handler.ts";

type Deps = { readonly accounts: Pick<AccountStore, "readAccounts"> };

/** `AccountService.BatchGetUsers` */
export function createBatchGetUsers({ accounts }: Deps): AccountHandlers["batchGetUsers"] {
  return async ({ userIds }) => {
    const found = await accounts.readAccounts(userIds);
    return { users: found.map(toUserMessage) };
  };
}
