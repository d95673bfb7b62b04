import type { Clock } from "@parley/platform/clock";
import { permissionDenied, unauthenticated } from "@parley/platform/errors";
import type { RateLimiter } from "@parley/platform/rate-limit";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { AccountStore, PasswordHasher, Revocations } from "../account-ports.ts";
import { type AccountHandlers, takeAttempt } from "./account-handler.ts";

type Deps = {
  readonly accounts: Pick<AccountStore, "changePassword" | "readPasswordHash">;
  readonly hasher: PasswordHasher;
  readonly revocations: Revocations;
  readonly attempts: RateLimiter;
  readonly clock: Clock;
};

/** `AccountService.ChangePassword` */
export function createChangePassword(deps: Deps): AccountHandlers["changePassword"] {
  const { accounts, hasher } = deps;
  return async ({ currentPassword, newPassword }, context) => {
    const { userId, deviceId } = requireDevice(context);
    takeAttempt(deps.attempts, `change-password ${userId}`);
    const expectedHash = await accounts.readPasswordHash(userId);
    const matches = await hasher.verify(currentPassword, expectedHash);
    if (expectedHash === undefined || !matches) throw wrongPassword();
    const newHash = await hasher.hash(newPassword);
    const nowMs = deps.clock.nowMs();
    const outcome = await accounts.changePassword({
      userId,
      deviceId,
      expectedHash,
      newHash,
      nowMs,
    });
    if (outcome.kind === "password-changed") throw wrongPassword();
    if (outcome.kind === "device-revoked") {
      throw unauthenticated("DEVICE_REVOKED", "The calling device was signed out.");
    }
    await deps.revocations.waitEnded(outcome.revokedDeviceIds);
    return {};
  };
}

function wrongPassword() {
  return permissionDenied("BAD_CREDENTIALS", "The current password is wrong.");
}
