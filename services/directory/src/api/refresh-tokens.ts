import type { Clock } from "@parley/platform/clock";
import { unauthenticated } from "@parley/platform/errors";
import type { RateLimiter } from "@parley/platform/rate-limit";
import type { DeviceStore, Revocations } from "../account-ports.ts";
import {
  hashRefreshSecret,
  parseRefreshToken,
  type RefreshToken,
  type RefreshTokenKeys,
  successorSecretOf,
} from "../domain/refresh-token.ts";
import { decideRotation } from "../domain/rotation.ts";
import { type AccountHandlers, takeAttempt } from "./account-handler.ts";
import { makeTokens, type TokenMaking } from "./device-tokens.ts";

type Deps = TokenMaking & {
  readonly devices: Pick<DeviceStore, "rotateToken">;
  readonly revocations: Revocations;
  readonly refreshes: RateLimiter;
  readonly clock: Clock;
};

/** `AccountService.RefreshTokens` */
export function createRefreshTokens(deps: Deps): AccountHandlers["refreshTokens"] {
  return async ({ refreshToken }) => {
    const presented = parse(refreshToken, deps.refreshTokenKeys);
    const { deviceId } = presented;
    takeAttempt(deps.refreshes, deviceId);
    const successorSecret = successorSecretOf(presented, deps.refreshTokenKeys);
    const { userId, decision } = await rotate(deps, presented, successorSecret);
    switch (decision.kind) {
      case "rotate":
      case "repeat": {
        const device = { userId, deviceId };
        return { tokens: await makeTokens(deps, device, decision.issued, successorSecret) };
      }
      case "reused":
        await deps.revocations.waitEnded([deviceId]);
        throw unauthenticated(
          "REFRESH_TOKEN_REUSED",
          "The refresh token was used before; the device is signed out.",
        );
      case "invalid":
        throw invalidToken();
      default: {
        const unknown: never = decision;
        throw new Error(`no answer for ${JSON.stringify(unknown)}`);
      }
    }
  };
}

function parse(text: string, keys: RefreshTokenKeys): RefreshToken {
  const token = parseRefreshToken(text, keys);
  if (token === undefined) throw invalidToken();
  return token;
}

function rotate(
  { devices, clock, lifetimes }: Deps,
  presented: RefreshToken,
  successorSecret: Uint8Array,
) {
  const nowMs = clock.nowMs();
  const facts = {
    generation: presented.generation,
    expireTimeMs: presented.expireTimeMs,
    tokenHash: hashRefreshSecret(presented.secret),
    successorHash: hashRefreshSecret(successorSecret),
  };
  return devices.rotateToken(presented.deviceId, nowMs, (snapshot) =>
    decideRotation(snapshot, facts, { nowMs, lifetimeMs: lifetimes.refreshMs }),
  );
}

function invalidToken() {
  return unauthenticated("REFRESH_TOKEN_INVALID", "The refresh token is unknown or has expired.");
}
