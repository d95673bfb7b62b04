import { randomInt } from "node:crypto";
import type { DeviceDescription } from "@parley/gen/parley/account/v1/account_pb";
import type { Clock } from "@parley/platform/clock";
import { failedPrecondition, unauthenticated, unavailable } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import type { RateLimiter } from "@parley/platform/rate-limit";
import type {
  AccountStore,
  DeviceStore,
  ExternalIdentity,
  ExternalIssuer,
} from "../account-ports.ts";
import { type Account, DEVICES_MAX } from "../domain/account.ts";
import { suggestDisplayName, suggestUsername, withSuffix } from "../domain/external-username.ts";
import { toUserMessage } from "./account-answer.ts";
import { type AccountHandlers, deviceLimit, takeAttempt } from "./account-handler.ts";
import { makeTokens, type SigningIn, signDeviceIn, type TokenMaking } from "./device-tokens.ts";
import { DEFAULT_PRIVACY } from "./sign-up.ts";

type Deps = TokenMaking & {
  readonly accounts: Pick<AccountStore, "createAccount" | "findBySubject">;
  readonly devices: Pick<DeviceStore, "addDevice">;
  readonly externalIssuer: ExternalIssuer | undefined;
  readonly attempts: RateLimiter;
  readonly clock: Clock;
};

type SignedIn = { readonly account: Account; readonly added: SigningIn };

/** Names tried for a new person; each one after the first has six random digits. */
const NAMES_TRIED_MAX = 8;
const SUFFIX_LIMIT = 1_000_000;

/** `AccountService.SignInWithExternalToken` */
export function createSignInWithExternalToken(
  deps: Deps,
): AccountHandlers["signInWithExternalToken"] {
  return async ({ externalToken, device }) => {
    const identity = await verify(deps, externalToken);
    takeAttempt(deps.attempts, `external ${identity.issuer} ${identity.subject}`);
    const known = await deps.accounts.findBySubject(identity);
    const { account, added } =
      known === undefined
        ? await signUp(deps, identity, device)
        : await signIn(deps, known, device);
    return {
      user: toUserMessage(account),
      deviceId: added.device.deviceId,
      tokens: await makeTokens(deps, added.device, added.token, added.secret),
    };
  };
}

async function verify({ externalIssuer }: Deps, token: string): Promise<ExternalIdentity> {
  if (externalIssuer === undefined) {
    throw failedPrecondition(
      "EXTERNAL_ISSUER_ABSENT",
      "This server takes no tokens of another issuer.",
    );
  }
  const identity = await externalIssuer.verify(token);
  if (identity !== undefined) return identity;
  throw unauthenticated("BAD_CREDENTIALS", "The external token does not verify.");
}

async function signIn(
  deps: Deps,
  account: Account,
  device: DeviceDescription | undefined,
): Promise<SignedIn> {
  const added = signDeviceIn(deps, account.userId, device, deps.clock.nowMs());
  const { kind } = await deps.devices.addDevice(added, {
    devicesMax: DEVICES_MAX,
    expectedHash: undefined,
  });
  if (kind === "device-limit") throw deviceLimit();
  return { account, added };
}

async function signUp(
  deps: Deps,
  identity: ExternalIdentity,
  device: DeviceDescription | undefined,
): Promise<SignedIn> {
  const suggested = suggestUsername(identity.claims);
  const externalSubject = { issuer: identity.issuer, subject: identity.subject };
  for (let attempt = 0; attempt < NAMES_TRIED_MAX; attempt++) {
    const suffix = randomInt(SUFFIX_LIMIT).toString().padStart(6, "0");
    const username = attempt === 0 ? suggested : withSuffix(suggested, suffix);
    const account = newAccount(identity, username, deps.clock.nowMs());
    const first = signDeviceIn(deps, account.userId, device, account.createTimeMs);
    const { kind } = await deps.accounts.createAccount({
      account,
      passwordHash: undefined,
      externalSubject,
      first,
    });
    if (kind === "created") return { account, added: first };
    // The same person on two devices at once: the other call was quicker.
    const known = await deps.accounts.findBySubject(externalSubject);
    if (known !== undefined) return await signIn(deps, known, device);
  }
  throw unavailable("USERNAME_UNAVAILABLE", "No free username was found; try again.");
}

function newAccount(identity: ExternalIdentity, username: string, nowMs: number): Account {
  return {
    userId: newUuid(nowMs),
    username,
    displayName: suggestDisplayName(identity.claims, username),
    about: "",
    createTimeMs: nowMs,
    privacy: DEFAULT_PRIVACY,
  };
}
