/** What the RPCs about accounts share: types, limits of attempts, and refusals. */
import type { ConnectError, ServiceImpl } from "@connectrpc/connect";
import type { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import type { ContactService } from "@parley/gen/parley/contact/v1/contact_service_pb";
import type { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import {
  failedPrecondition,
  notFound,
  resourceExhausted,
  unauthenticated,
} from "@parley/platform/errors";
import type { RateLimiter } from "@parley/platform/rate-limit";
import type { AccountStore } from "../account-ports.ts";
import { type Account, DEVICES_MAX } from "../domain/account.ts";

export type AccountHandlers = ServiceImpl<typeof AccountService>;
export type ContactHandlers = ServiceImpl<typeof ContactService>;
export type DirectoryHandlers = ServiceImpl<typeof DirectoryService>;

/** Counts an attempt. Throws `RESOURCE_EXHAUSTED` / `RATE_LIMITED` when there were too many. */
export function takeAttempt(attempts: RateLimiter, key: string): void {
  const decision = attempts.take(key);
  if (decision.ok) return;
  throw resourceExhausted("RATE_LIMITED", "There were too many attempts; try again later.", {
    retryAfterMs: decision.retryAfterMs,
  });
}

/** The caller's account. A valid token of somebody who is not in this database is no credential. */
export async function requireAccount(
  accounts: Pick<AccountStore, "readAccounts">,
  userId: string,
): Promise<Account> {
  const [account] = await accounts.readAccounts([userId]);
  if (account === undefined) throw accountGone();
  return account;
}

export function accountGone(): ConnectError {
  return unauthenticated("ACCOUNT_NOT_FOUND", "The access token belongs to nobody here.");
}

/** One text for a wrong username and a wrong password: who guesses learns nothing. */
export const BAD_CREDENTIALS_TEXT = "The username or the password is wrong.";

export function badCredentials(): ConnectError {
  return unauthenticated("BAD_CREDENTIALS", BAD_CREDENTIALS_TEXT);
}

export function deviceLimit(): ConnectError {
  return failedPrecondition("DEVICE_LIMIT", "The account is signed in on enough devices.", {
    devices_max: String(DEVICES_MAX),
  });
}

export function userNotFound(): ConnectError {
  return notFound("USER_NOT_FOUND", "There is no such user.");
}

/** How many entries a page holds: the wanted number within the contract's bounds. */
export function pageLimit(
  pageSize: number,
  bounds: { readonly default: number; readonly max: number },
): number {
  return pageSize === 0 ? bounds.default : Math.min(pageSize, bounds.max);
}

/** The contract's page sizes of `ListContacts` and `ListBlocks`. */
export const CONTACT_PAGE = { default: 100, max: 500 };
/** The contract's page sizes of `SearchUsers`. */
export const SEARCH_PAGE = { default: 20, max: 50 };
