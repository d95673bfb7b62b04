import type { Clock } from "@parley/platform/clock";
import type { RateLimiter } from "@parley/platform/rate-limit";
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
  readonly accounts: Pick<AccountStore, "findByUsername">;
  readonly devices: Pick<DeviceStore, "addDevice">;
  readonly hasher: Pick<PasswordHasher, "verify">;
  readonly attempts: RateLimiter;
  readonly clock: Clock;
};

/** `AccountService.SignIn` */
export function createSignIn(deps: Deps): AccountHandlers["signIn"] {
  return async (request) => {
    const username = foldUsername(request.username);
    takeAttempt(deps.attempts, `sign-in ${username}`);
    const found = await deps.accounts.findByUsername(username);
    // Also without an account: who measures the time learns nothing.
    const matches = await deps.hasher.verify(request.password, found?.passwordHash);
    if (found === undefined || !matches) throw badCredentials();
    const { account, passwordHash } = found;
    const added = signDeviceIn(deps, account.userId, request.device, deps.clock.nowMs());
    const { kind } = await deps.devices.addDevice(added, {
      devicesMax: DEVICES_MAX,
      expectedHash: passwordHash,
    });
    if (kind === "password-changed") throw badCredentials();
    if (kind === "device-limit") throw deviceLimit();
    return {
      user: toUserMessage(account),
      deviceId: added.device.deviceId,
      tokens: await makeTokens(deps, added.device, added.token, added.secret),
    };
  };
}
