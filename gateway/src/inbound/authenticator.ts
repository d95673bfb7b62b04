/** Who an access token belongs to: a JWT of the directory, for a device that is still signed in. */
import type { Interceptor } from "@connectrpc/connect";
import { Access } from "@parley/gen/parley/options/v1/access_pb";
import type { Clock } from "@parley/platform/clock";
import { unauthenticated } from "@parley/platform/errors";
import { isUuid } from "@parley/platform/ids";
import { accessOf, bearerToken } from "@parley/platform/rpc/access";
import { callerKey, type DeviceCaller, PUBLIC_CALLER } from "@parley/platform/rpc/caller";
import type { EdgeCaller } from "@parley/platform/rpc/edge-host";
import { errors, type JWTPayload, jwtVerify } from "jose";
import type { DeviceChecks } from "../session/device-checks.ts";
import type { KeySet, VerificationKeys } from "./verification-keys.ts";

export type Authenticator = {
  /**
   * The device of a token. Rejects with `UNAUTHENTICATED` / `TOKEN_MISSING`, `TOKEN_INVALID`, `TOKEN_EXPIRED`
   * or `DEVICE_REVOKED`, and with `UNAVAILABLE` when the directory cannot be asked.
   */
  verify(accessToken: string): Promise<DeviceCaller>;
  /** The caller of an RPC by its headers; public without a token, and with one that is not valid. */
  authenticate(header: Headers): Promise<EdgeCaller>;
};

/** What the contract allows an access token to take. */
const TOKEN_BYTES_MAX = 8192;
/** Verified tokens that are remembered: a signature costs more than everything else in a small call. */
const TOKENS_MAX = 10_000;
/** Between the directory's clock and this one. */
const CLOCK_TOLERANCE_SECONDS = 5;

export function createAuthenticator(options: {
  readonly keys: VerificationKeys;
  readonly deviceChecks: Pick<DeviceChecks, "isRevoked">;
  readonly clock: Clock;
}): Authenticator {
  const { keys, deviceChecks, clock } = options;
  const verified = new Map<string, DeviceCaller>();

  const verifyWith = async (accessToken: string, { keyOf, issuer }: KeySet) => {
    const { payload } = await jwtVerify(accessToken, keyOf, {
      issuer,
      algorithms: ["EdDSA", "Ed25519"],
      requiredClaims: ["exp", "sub"],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(clock.nowMs()),
    });
    return callerOf(payload);
  };

  const verifySignature = async (accessToken: string): Promise<DeviceCaller> => {
    try {
      return await verifyWith(accessToken, await keys.get());
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      const fresh = await keys.refresh();
      if (fresh === undefined) throw error;
      return verifyWith(accessToken, fresh);
    }
  };

  const remember = (accessToken: string, caller: DeviceCaller) => {
    if (verified.size >= TOKENS_MAX) verified.delete(verified.keys().next().value as string);
    verified.set(accessToken, caller);
  };

  const verify = async (accessToken: string): Promise<DeviceCaller> => {
    if (accessToken === "") {
      throw unauthenticated("TOKEN_MISSING", "An access token is needed.");
    }
    if (accessToken.length > TOKEN_BYTES_MAX) throw invalidToken();
    let caller = verified.get(accessToken);
    if (caller === undefined) {
      try {
        caller = await verifySignature(accessToken);
      } catch (error) {
        throw refusalOf(error);
      }
      remember(accessToken, caller);
    }
    if (caller.expireTimeMs <= clock.nowMs()) {
      verified.delete(accessToken);
      throw expiredToken();
    }
    if (await deviceChecks.isRevoked(caller.deviceId)) {
      verified.delete(accessToken);
      throw unauthenticated("DEVICE_REVOKED", "The device was signed out or revoked.");
    }
    return caller;
  };

  return {
    verify,
    async authenticate(header) {
      const token = bearerToken(header.get("authorization"));
      // The operator's token is no JWT; the access interceptor looks at it.
      if (token === undefined || !token.includes(".")) return PUBLIC_CALLER as EdgeCaller;
      try {
        return await verify(token);
      } catch {
        // Signing in again and refreshing need no token, so a stale one must not be in their way. An RPC that
        // needs one is refused by `tokenInterceptor`, with the reason.
        return PUBLIC_CALLER as EdgeCaller;
      }
    },
  };
}

/** Says what is wrong with the token of a call that needs a device and did not prove one. */
export function tokenInterceptor(authenticator: Pick<Authenticator, "verify">): Interceptor {
  return (next) => async (request) => {
    const needed = accessOf(request.method) === Access.DEVICE;
    if (needed && request.contextValues.get(callerKey).kind === "public") {
      const token = bearerToken(request.header.get("authorization"));
      if (token !== undefined) {
        request.contextValues.set(callerKey, await authenticator.verify(token));
      }
    }
    return next(request);
  };
}

function callerOf(payload: JWTPayload): DeviceCaller {
  const { sub, exp } = payload;
  const deviceId: unknown = payload.did;
  const valid =
    typeof sub === "string" &&
    isUuid(sub) &&
    typeof deviceId === "string" &&
    isUuid(deviceId) &&
    typeof exp === "number";
  if (!valid) throw invalidToken();
  return { kind: "device", userId: sub, deviceId, expireTimeMs: exp * 1000 };
}

function refusalOf(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) return expiredToken();
  return error instanceof errors.JOSEError ? invalidToken() : error;
}

const invalidToken = () => unauthenticated("TOKEN_INVALID", "The access token is not valid.");
const expiredToken = () => unauthenticated("TOKEN_EXPIRED", "The access token has expired.");
