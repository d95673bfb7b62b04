/** Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037). */
import { SettingError } from "@parley/platform/config";
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
/** Where a key comes from, as an operator knows it. */
const CONFIGURED = "PARLEY_DIRECTORY_SIGNING_KEY";
const STORED = "The signing key in the directory's database";
const STORED_KEY_NAME = "access-token-signing";

/** A signing key cannot be used. The message says which, and never shows it. */
export class SigningKeyError extends SettingError {
  constructor(source: string, what: string) {
    super(CONFIGURED, `${source} is ${what}`);
  }
}

type PrivateKey = Awaited<ReturnType<typeof importJWK>>;
type Key = { readonly kid: string; readonly publicJwk: JWK; readonly privateKey: PrivateKey };

/**
 * Creates the signer. Its own key is made at the first start and kept with the database; when the config
 * gives another one, that one signs, and the stored one's tokens are accepted until they expire. Throws a
 * `SigningKeyError` when one of them is none.
 */
export async function createAccessTokenSigner(
  options: AccessTokenSignerOptions,
): Promise<AccessTokenSigner> {
  const { issuer, keys, nowMs, signingKeyJson } = options;
  const proposed = await generateKeyPair(ALGORITHM, { crv: "Ed25519", extractable: true });
  const proposedJson = JSON.stringify(await exportJWK(proposed.privateKey));
  const storedJson = await keys.readOrCreate(STORED_KEY_NAME, proposedJson, nowMs);
  const stored = await readKey(STORED, storedJson);
  const configured =
    signingKeyJson === undefined ? undefined : await readKey(CONFIGURED, signingKeyJson);
  const current = configured ?? stored;
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
        .sign(current.privateKey),
  };
}

async function readKey(source: string, json: string): Promise<Key> {
  const { kty, crv, x, d } = parseJwk(source, json);
  if (kty !== "OKP" || crv !== "Ed25519" || x === undefined || d === undefined) {
    throw new SigningKeyError(source, "no private JWK with kty OKP and crv Ed25519");
  }
  const kid = await calculateJwkThumbprint({ kty, crv, x });
  const publicJwk: JWK = { kty, crv, x, kid, use: "sig", alg: ALGORITHM };
  return { kid, publicJwk, privateKey: await importPrivateKey(source, { kty, crv, x, d }) };
}

async function importPrivateKey(source: string, jwk: JWK): Promise<PrivateKey> {
  try {
    return await importJWK(jwk, ALGORITHM);
  } catch {
    // What the library says may repeat a part of the secret.
    throw new SigningKeyError(source, "a JWK whose x and d are no Ed25519 key");
  }
}

function parseJwk(source: string, json: string): JWK {
  try {
    const parsed: unknown = JSON.parse(json);
    if (typeof parsed === "object" && parsed !== null) return parsed;
  } catch {
    // The text holds a secret, and the parser's message would repeat a part of it.
  }
  throw new SigningKeyError(source, "no JSON object");
}
