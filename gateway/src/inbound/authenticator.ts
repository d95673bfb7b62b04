/** Who an access token belongs to: a JWT of the directory, for a device that is still signed in. */
import type { Interceptor } from "@connectrpc/connect";
import { Access } from "@parley/gen/parley/options/v1/access_pb";
import type { Clock } from "@parley/platform/clock";
import { reasonOf, unauthenticated } from "@parley/platform/errors";
import { isUuid } from "@parley/platform/ids";
import { accessOf, bearerToken } from "@parley/platform/rpc/access";
import { type DeviceCaller, PUBLIC_CALLER } from "@parley/platform/rpc/caller";
import type { EdgeCaller } from "@parley/platform/rpc/edge-host";
import { errors, type JWTPayload, jwtVerify } from "jose";
import type { DeviceChecks } from "../session/device-checks.ts";
import type { RateLimits } from "./rate-limits.ts";
import type { KeySet, VerificationKeys } from "./verification-keys.ts";

export type Authenticator = {
  /**
   * The device of a token. Rejects with `UNAUTHENTICATED` / `TOKEN_MISSING`, `TOKEN_INVALID`, `TOKEN_EXPIRED`
   * or `DEVICE_REVOKED`, and with `UNAVAILABLE` when the directory cannot be asked. `RESOURCE_EXHAUSTED` /
   * `RATE_LIMITED` after too many tokens of the address that were none of ours; an empty one does not count.
   */
  verify(accessToken: string, address: string): Promise<DeviceCaller>;
  /** The caller of an RPC by its headers; public without a token, and with one that is not valid. */
  authenticate(header: Headers, address: string): Promise<EdgeCaller>;
  /** Why `authenticate` took the caller with these headers for public; undefined if there was no token. */
  refusalOf(header: Headers): unknown;
};

type Verified = { readonly caller: DeviceCaller; readonly keySet: KeySet };

/** What the contract allows an access token to take. */
const TOKEN_BYTES_MAX = 8192;
/** Verified tokens that are remembered: a signature costs more than everything else in a small call. */
const TOKENS_MAX = 10_000;
/** Between the directory's clock and this one. */
const CLOCK_TOLERANCE_SECONDS = 5;

export function createAuthenticator(options: {
  readonly keys: VerificationKeys;
  readonly deviceChecks: Pick<DeviceChecks, "isRevoked">;
  readonly limits: Pick<RateLimits, "assertMayAuthenticate" | "countFailure">;
  readonly clock: Clock;
}): Authenticator {
  const { keys, deviceChecks, limits, clock } = options;
  /** With the keys that verified each: where one of those is retired, its tokens are no longer believed. */
  const verified = new Map<string, Verified>();
  const refusals = new WeakMap<Headers, unknown>();

  const verifyWith = async (accessToken: string, keySet: KeySet): Promise<Verified> => {
    const { keyOf, issuer } = keySet;
    const { payload } = await jwtVerify(accessToken, keyOf, {
      issuer,
      algorithms: ["EdDSA", "Ed25519"],
      requiredClaims: ["exp", "sub"],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(clock.nowMs()),
    });
    return { caller: callerOf(payload), keySet };
  };

  const verifySignature = async (accessToken: string, current: KeySet): Promise<Verified> => {
    try {
      return await verifyWith(accessToken, current);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      const fresh = await keys.refresh();
      if (fresh === undefined) throw error;
      return verifyWith(accessToken, fresh);
    }
  };

  const remember = (accessToken: string, found: Verified) => {
    if (verified.size >= TOKENS_MAX) verified.delete(verified.keys().next().value as string);
    verified.set(accessToken, found);
  };

  const verifyNew = async (accessToken: string, address: string, current: KeySet) => {
    limits.assertMayAuthenticate(address);
    try {
      return await verifySignature(accessToken, current);
    } catch (error) {
      const refusal = refusalOf(error);
      // Not for one that has expired: it was signed by us, and its client will come back with another.
      if (reasonOf(refusal) === "TOKEN_INVALID") limits.countFailure(address);
      throw refusal;
    }
  };

  const verify = async (accessToken: string, address: string): Promise<DeviceCaller> => {
    if (accessToken === "") {
      throw unauthenticated("TOKEN_MISSING", "An access token is needed.");
    }
    if (accessToken.length > TOKEN_BYTES_MAX) throw invalidToken();
    const current = await keys.get();
    let found = verified.get(accessToken);
    if (found?.keySet !== current) {
      verified.delete(accessToken);
      found = await verifyNew(accessToken, address, current);
      remember(accessToken, found);
    }
    const { caller } = found;
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
    refusalOf: (header) => refusals.get(header),
    async authenticate(header, address) {
      const token = bearerToken(header.get("authorization"));
      // The operator's token is no JWT; the access interceptor looks at it.
      if (token === undefined || !token.includes(".")) return PUBLIC_CALLER as EdgeCaller;
      try {
        return await verify(token, address);
      } catch (error) {
        refusals.set(header, error);
        // Signing in again and refreshing need no token, so a stale one must not be in their way. An RPC that
        // needs one is refused by `tokenInterceptor`, with the reason.
        return PUBLIC_CALLER as EdgeCaller;
      }
    },
  };
}

/** Says what is wrong with the token of a call that needs a device and did not prove one. */
export function tokenInterceptor(authenticator: Pick<Authenticator, "refusalOf">): Interceptor {
  return (next) => (request) => {
    if (accessOf(request.method) === Access.DEVICE) {
      const refusal = authenticator.refusalOf(request.header);
      if (refusal !== undefined) return Promise.reject(refusal);
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
