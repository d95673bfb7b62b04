import type { SignInRequest } from "@parley/gen/parley/account/v1/account_service_pb";
import type { Clock } from "@parley/platform/clock";
import type { RateLimiter } from "@parley/platform/rate-limit";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { AccountStore, DeviceStore, PasswordHasher } from "../account-ports.ts";
import { DEVICES_MAX, foldUsername } from "../domain/account.ts";
import { toUserMessage } from "./account-answer.ts";
import {
  type AccountHandlers,
  badCredentials,
  deviceLimit,
  takeAttempt,
} from "./account-handler.ts";
import { makeTokens, signDeviceIn, type TokenMaking } from "./device-tokens.ts";

type Deps = TokenMaking & {
  readonly accounts: Pick<AccountStore, "findByUsername" | "renewPasswordHash">;
  readonly devices: Pick<DeviceStore, "addDevice">;
  readonly hasher: PasswordHasher;
  readonly attempts: RateLimiter;
  readonly clock: Clock;
  readonly log: Pick<Logger, "warn">;
};

/** A password's hash that changed while it was checked was renewed by another sign-in, or is another password's. */
const CHECKS_MAX = 3;

/** `AccountService.SignIn` */
export function createSignIn(deps: Deps): AccountHandlers["signIn"] {
  return async (request) => {
    const username = foldUsername(request.username);
    takeAttempt(deps.attempts, `sign-in ${username}`);
    const { account, passwordHash, added } = await addDevice(deps, username, request);
    await renewHash(deps, account.userId, request.password, passwordHash);
    return {
      user: toUserMessage(account),
      deviceId: added.device.deviceId,
      tokens: await makeTokens(deps, added.device, added.token, added.secret),
    };
  };
}

async function addDevice(deps: Deps, username: string, request: SignInRequest) {
  for (let check = 1; check <= CHECKS_MAX; check++) {
    const { account, passwordHash } = await checkPassword(deps, username, request.password);
    const added = signDeviceIn(deps, account.userId, request.device, deps.clock.nowMs());
    const { kind } = await deps.devices.addDevice(added, {
      devicesMax: DEVICES_MAX,
      expectedHash: passwordHash,
    });
    if (kind === "device-limit") throw deviceLimit();
    if (kind === "added") return { account, passwordHash, added };
  }
  throw badCredentials();
}

async function checkPassword(deps: Deps, username: string, password: string) {
  const found = await deps.accounts.findByUsername(username);
  const passwordHash = found?.passwordHash;
  // Also without an account: who measures the time learns nothing.
  const matches = await deps.hasher.verify(password, passwordHash);
  if (found === undefined || passwordHash === undefined || !matches) throw badCredentials();
  return { account: found.account, passwordHash };
}

/** Once the operator has changed what a hash costs: only now, with the password at hand, can it be made again. */
async function renewHash(
  { accounts, hasher, log }: Deps,
  userId: string,
  password: string,
  expectedHash: string,
): Promise<void> {
  if (!hasher.needsRenewal(expectedHash)) return;
  try {
    const newHash = await hasher.hash(password);
    await accounts.renewPasswordHash({ userId, expectedHash, newHash });
  } catch (error) {
    log.warn({ error }, "A password's hash was not renewed; the next sign-in does it.");
  }
}
