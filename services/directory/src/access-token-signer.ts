/** Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037). */
import type { Clock } from "@parley/platform/clock";
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
import {
  inOrder,
  planSigningKeys,
  RELOAD_MS,
  SIGNING_KEY_PREFIX,
  type SigningKeyPolicy,
  type SigningKeyRecord,
  signingKeyAt,
} from "./domain/signing-keys.ts";

export type AccessTokenSignerOptions = {
  /** The `iss` claim. */
  readonly issuer: string;
  /** A private JWK (kty OKP, crv Ed25519) as JSON that signs instead of the stored ones; undefined for none. */
  readonly signingKeyJson: string | undefined;
  readonly policy: SigningKeyPolicy;
  readonly keys: ServerKeyStore;
  readonly clock: Pick<Clock, "nowMs">;
};

const ALGORITHM = "EdDSA";
/** Where a key comes from, as an operator knows it. */
const CONFIGURED = "PARLEY_DIRECTORY_SIGNING_KEY";
const STORED = "A signing key in the directory's database";

/** A signing key cannot be used. The message says which, and never shows it. */
export class SigningKeyError extends SettingError {
  constructor(source: string, what: string) {
    super(CONFIGURED, `${source} is ${what}`);
  }
}

type PrivateKey = Awaited<ReturnType<typeof importJWK>>;
type Key = { readonly kid: string; readonly publicJwk: JWK; readonly privateKey: PrivateKey };
type StoredKey = SigningKeyRecord & Key;

/**
 * Creates the signer. Its first key is made at the first start and kept with the database; each gets a successor
 * when it is old, and is forgotten when the last token that it signed has expired. When the config gives another
 * one, that one signs, and tokens of the stored ones are accepted until they have expired. Rejects with a
 * `SigningKeyError` when one of them is none.
 */
export async function createAccessTokenSigner(
  options: AccessTokenSignerOptions,
): Promise<AccessTokenSigner> {
  const { issuer, clock, signingKeyJson, policy } = options;
  const configured =
    signingKeyJson === undefined ? undefined : await readKey(CONFIGURED, signingKeyJson);
  // A configured key that signs needs no successor of those that do not.
  const ring = await openKeyRing({
    ...options,
    policy:
      configured === undefined ? policy : { ...policy, rotateAfterMs: Number.POSITIVE_INFINITY },
  });
  const startMs = clock.nowMs();
  return {
    issuer,
    async readJwksJson() {
      const stored = (await ring.reload()).toReversed();
      const expired = clock.nowMs() >= startMs + policy.accessMs + RELOAD_MS;
      const keys = configured === undefined ? stored : [configured, ...(expired ? [] : stored)];
      const published = new Map(keys.map((key) => [key.kid, key.publicJwk]));
      return JSON.stringify({ keys: [...published.values()] });
    },
    async sign({ userId, deviceId, issueTimeMs, expireTimeMs }) {
      const key = configured ?? signingKeyAt(await ring.recent(), issueTimeMs);
      if (key === undefined) throw new Error("there is no signing key");
      return new SignJWT({ did: deviceId })
        .setProtectedHeader({ alg: ALGORITHM, kid: key.kid, typ: "JWT" })
        .setIssuer(issuer)
        .setSubject(userId)
        .setIssuedAt(Math.floor(issueTimeMs / 1000))
        .setExpirationTime(Math.floor(expireTimeMs / 1000))
        .sign(key.privateKey);
    },
  };
}

/** The stored keys in order, read again from time to time: another process may have made or forgotten some. */
async function openKeyRing({
  keys,
  clock,
  policy,
}: Pick<AccessTokenSignerOptions, "keys" | "clock" | "policy">) {
  let known: readonly StoredKey[] = [];
  let reloadedMs = Number.NEGATIVE_INFINITY;
  let reloading: Promise<readonly StoredKey[]> | undefined;

  const read = async (): Promise<readonly StoredKey[]> => {
    const records = await keys.list(SIGNING_KEY_PREFIX);
    return Promise.all(
      inOrder(records).map(async ({ name, value, createTimeMs }) => {
        const same = known.find((key) => key.name === name && key.createTimeMs === createTimeMs);
        return same ?? { name, createTimeMs, ...(await readKey(STORED, value)) };
      }),
    );
  };

  const load = async () => {
    const nowMs = clock.nowMs();
    let found = await read();
    const { create, forget } = planSigningKeys(found, nowMs, policy);
    // In this order: there is a key at every moment. Of several processes that do this at once, one makes it.
    if (create !== undefined) await keys.readOrCreate(create, await proposeKey(), nowMs);
    await keys.delete(forget);
    if (create !== undefined || forget.length > 0) found = await read();
    known = found;
    reloadedMs = nowMs;
    return found;
  };

  const reload = () => {
    reloading ??= load().finally(() => {
      reloading = undefined;
    });
    return reloading;
  };
  await reload();
  return {
    reload,
    /** The keys as they were at most `RELOAD_MS` ago. */
    recent: () => {
      const fresh = Math.abs(clock.nowMs() - reloadedMs) < RELOAD_MS;
      return fresh ? Promise.resolve(known) : reload();
    },
  };
}

async function proposeKey(): Promise<string> {
  const pair = await generateKeyPair(ALGORITHM, { crv: "Ed25519", extractable: true });
  return JSON.stringify(await exportJWK(pair.privateKey));
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
