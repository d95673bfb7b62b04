import { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import type { SignUpRequest } from "@parley/gen/parley/account/v1/account_service_pb";
import type { Clock } from "@parley/platform/clock";
import { alreadyExists, failedPrecondition } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import type { RateLimiter } from "@parley/platform/rate-limit";
import type { AccountStore, PasswordHasher } from "../account-ports.ts";
import { type Account, cleanDisplayName, foldUsername } from "../domain/account.ts";
import { toUserMessage } from "./account-answer.ts";
import { type AccountHandlers, takeAttempt } from "./account-handler.ts";
import { makeTokens, signDeviceIn, type TokenMaking } from "./device-tokens.ts";

type Deps = TokenMaking & {
  readonly accounts: Pick<AccountStore, "createAccount" | "findByUsername">;
  readonly hasher: Pick<PasswordHasher, "hash">;
  readonly attempts: RateLimiter;
  readonly clock: Clock;
  readonly signUpOpen: boolean;
};

/** `AccountService.SignUp` */
export function createSignUp(deps: Deps): AccountHandlers["signUp"] {
  return async (request) => {
    const username = foldUsername(request.username);
    if (!deps.signUpOpen) {
      throw failedPrecondition("SIGN_UP_CLOSED", "The operator of this server closed sign-up.");
    }
    takeAttempt(deps.attempts, `sign-up ${username}`);
    // Looked up first, because a hash costs far more; the store decides again when it writes.
    if ((await deps.accounts.findByUsername(username)) !== undefined) throw usernameTaken();
    const passwordHash = await deps.hasher.hash(request.password);
    const account = newAccount(request, username, deps.clock.nowMs());
    const first = signDeviceIn(deps, account.userId, request.device, account.createTimeMs);
    const { kind } = await deps.accounts.createAccount({ account, passwordHash, first });
    if (kind !== "created") throw usernameTaken();
    return {
      user: toUserMessage(account),
      deviceId: first.device.deviceId,
      tokens: await makeTokens(deps, first.device, first.token, first.secret),
    };
  };
}

function newAccount(request: SignUpRequest, username: string, nowMs: number): Account {
  const displayName = cleanDisplayName(request.displayName);
  return {
    userId: newUuid(nowMs),
    username,
    displayName: displayName === "" ? username : displayName,
    about: "",
    createTimeMs: nowMs,
    privacy: DEFAULT_PRIVACY,
  };
}

/** What applies until a person says otherwise. */
export const DEFAULT_PRIVACY = {
  presenceVisibility: PresenceVisibility.CONTACTS_AND_GROUPS,
  sendReadReceipts: true,
  searchable: true,
};

function usernameTaken() {
  return alreadyExists("USERNAME_TAKEN", "Somebody has this username.");
}
