/** Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037). */
import {
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  SignJWT,
} from "jose";
import type { AccessTokenSigner, ServerKeyStore } from "./account-ports.ts";

export type AccessTokenSignerOptions = {
  /** The `iss` claim. */
  readonly issuer: string;
  /** A private JWK (kty OKP, crv Ed25519) as JSON that signs instead of the stored one; undefined for none. */
  readonly signingKeyJson: string | undefined;
  readonly keys: ServerKeyStore;
  readonly nowMs: number;
};

const ALGORITHM = "EdDSA";
const STORED_KEY_NAME = "access-token-signing";

/** The configured signing key cannot be used. */
export class SigningKeyError extends Error {
  override readonly name = "SigningKeyError";
}

type Key = { readonly kid: string; readonly publicJwk: JWK; readonly privateJwk: JWK };

/**
 * Creates the signer. Its own key is made at the first start and kept with the database; when the config
 * gives another one, that one signs, and the stored one's tokens are accepted until they expire. Throws a
 * `SigningKeyError` when the configured key is none.
 */
export async function createAccessTokenSigner(
  options: AccessTokenSignerOptions,
): Promise<AccessTokenSigner> {
  const { issuer, keys, nowMs, signingKeyJson } = options;
  const proposed = await generateKeyPair(ALGORITHM, { crv: "Ed25519", extractable: true });
  const proposedJson = JSON.stringify(await exportJWK(proposed.privateKey));
  const stored = await readKey(await keys.readOrCreate(STORED_KEY_NAME, proposedJson, nowMs));
  const configured = signingKeyJson === undefined ? undefined : await readKey(signingKeyJson);
  const current = configured ?? stored;
  const privateKey = await importJWK(current.privateJwk, ALGORITHM);
  const published = new Map([current, stored].map((key) => [key.kid, key.publicJwk]));
  return {
    issuer,
    jwksJson: JSON.stringify({ keys: [...published.values()] }),
    sign: ({ userId, deviceId, issueTimeMs, expireTimeMs }) =>
      new SignJWT({ did: deviceId })
        .setProtectedHeader({ alg: ALGORITHM, kid: current.kid, typ: "JWT" })
        .setIssuer(issuer)
        .setSubject(userId)
        .setIssuedAt(Math.floor(issueTimeMs / 1000))
        .setExpirationTime(Math.floor(expireTimeMs / 1000))
        .sign(privateKey),
  };
}

async function readKey(json: string): Promise<Key> {
  const { kty, crv, x, d } = parseJwk(json);
  if (kty !== "OKP" || crv !== "Ed25519" || x === undefined || d === undefined) {
    throw new SigningKeyError("the signing key is no private JWK with kty OKP and crv Ed25519");
  }
  const kid = await calculateJwkThumbprint({ kty, crv, x });
  const publicJwk: JWK = { kty, crv, x, kid, use: "sig", alg: ALGORITHM };
  return { kid, publicJwk, privateJwk: { kty, crv, x, d } };
}

function parseJwk(json: string): JWK {
  try {
    const parsed: unknown = JSON.parse(json);
    if (typeof parsed === "object" && parsed !== null) return parsed;
  } catch {
    // The text holds a secret, and the parser's message would repeat a part of it.
  }
  throw new SigningKeyError("the signing key is no JSON object");
}
