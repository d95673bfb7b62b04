/** Tokens of an issuer that the operator configured: OpenID Connect ID tokens, or JWT access tokens. */

import type { Clock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import type { ExternalIdentity, ExternalIssuer } from "./account-ports.ts";

export type ExternalIssuerOptions = {
  /** The `iss` claim, exactly. */
  readonly issuer: string;
  /** One of the `aud` claims. */
  readonly audience: string;
  /** Where the issuer publishes its keys (RFC 7517). */
  readonly jwksUrl: string;
  readonly clock: Clock;
};

/** Only signatures with a public key: with `HS256`, whoever knows the public key could sign. */
const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];
/** How far the issuer's clock may be off, in seconds. */
const CLOCK_TOLERANCE_SECONDS = 30;
const JWKS_TIMEOUT_MS = 3000;
/** An unknown key id asks for the keys again, at most this often: made-up ids must not become requests. */
const JWKS_COOLDOWN_MS = 30_000;
const JWKS_CACHE_MAX_MS = 600_000;
/** OpenID Connect Core 1.0, section 2: a subject has at most 255 characters. */
const SUBJECT_CHARACTERS_MAX = 255;
const RETRY_AFTER_MS = 2000;

/** Creates the verifier; keys are fetched at the first use. */
export function createExternalIssuer(options: ExternalIssuerOptions): ExternalIssuer {
  const { issuer, audience, clock } = options;
  const keys = reportUnreachable(
    createRemoteJWKSet(new URL(options.jwksUrl), {
      timeoutDuration: JWKS_TIMEOUT_MS,
      cooldownDuration: JWKS_COOLDOWN_MS,
      cacheMaxAge: JWKS_CACHE_MAX_MS,
    }),
  );
  return {
    async verify(token) {
      try {
        const { payload } = await jwtVerify(token, keys, {
          issuer,
          audience,
          algorithms: ALGORITHMS,
          clockTolerance: CLOCK_TOLERANCE_SECONDS,
          requiredClaims: ["exp", "sub"],
          currentDate: new Date(clock.nowMs()),
        });
        return toIdentity(issuer, payload);
      } catch (error) {
        if (error instanceof errors.JOSEError) return undefined;
        throw error;
      }
    },
  };
}

/** A key that the issuer does not have is the token's fault; keys that cannot be had are not. */
function reportUnreachable(keys: JWTVerifyGetKey): JWTVerifyGetKey {
  return async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      const tokensFault =
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys ||
        error instanceof errors.JOSENotSupported;
      if (tokensFault) throw error;
      throw unavailable(
        "EXTERNAL_ISSUER_UNREACHABLE",
        "The keys of the external issuer cannot be had at the moment.",
        { retryAfterMs: RETRY_AFTER_MS, cause: error },
      );
    }
  };
}

function toIdentity(issuer: string, payload: JWTPayload): ExternalIdentity | undefined {
  const subject = payload.sub ?? "";
  if (subject === "" || subject.length > SUBJECT_CHARACTERS_MAX) return undefined;
  const text = (claim: string) => {
    const value = payload[claim];
    return typeof value === "string" ? value : undefined;
  };
  return {
    issuer,
    subject,
    claims: {
      preferredUsername: text("preferred_username"),
      nickname: text("nickname"),
      email: text("email"),
      name: text("name"),
    },
  };
}
