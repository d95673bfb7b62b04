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

const CHECKS_MAX = 3;

/** `AccountService.ChangePassword` */
export function createChangePassword(deps: Deps): AccountHandlers["changePassword"] {
  return async ({ currentPassword, newPassword }, context) => {
    const { userId, deviceId } = requireDevice(context);
    takeAttempt(deps.attempts, `change-password ${userId}`);
    const outcome = await change(deps, { userId, deviceId, currentPassword, newPassword });
    if (outcome.kind === "password-changed") throw wrongPassword();
    if (outcome.kind === "device-revoked") {
      throw unauthenticated("DEVICE_REVOKED", "The calling device was signed out.");
    }
    await deps.revocations.waitEnded(outcome.revokedDeviceIds);
    return {};
  };
}

type Change = {
  readonly userId: string;
  readonly deviceId: string;
  readonly currentPassword: string;
  readonly newPassword: string;
};

/** A hash that changed while it was checked was renewed by a sign-in, or is another password's: it is checked again. */
async function change(
  { accounts, hasher, clock }: Deps,
  { userId, deviceId, currentPassword, newPassword }: Change,
): ReturnType<AccountStore["changePassword"]> {
  for (let check = 1; check <= CHECKS_MAX; check++) {
    const expectedHash = await accounts.readPasswordHash(userId);
    const matches = await hasher.verify(currentPassword, expectedHash);
    if (expectedHash === undefined || !matches) throw wrongPassword();
    const newHash = await hasher.hash(newPassword);
    const nowMs = clock.nowMs();
    const hashes = { expectedHash, newHash };
    const outcome = await accounts.changePassword({ userId, deviceId, ...hashes, nowMs });
    if (outcome.kind !== "password-changed") return outcome;
  }
  return { kind: "password-changed" };
}

function wrongPassword() {
  return permissionDenied("BAD_CREDENTIALS", "The current password is wrong.");
}
