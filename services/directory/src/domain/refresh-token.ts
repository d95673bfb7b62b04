/**
 * Refresh tokens: how they look, and what presenting one means.
 *
 *   byte  0      1            17           21            25            57          73
 *         +------+------------+------------+-------------+-------------+-----------+
 *         | 0x01 | device id  | generation | expiry, s   | secret      | tag       |  base64url
 *         +------+------------+------------+-------------+-------------+-----------+
 *           1 B    16 B         4 B, BE      4 B, BE       32 B          16 B         98 characters
 *
 * The secret of the first one is random; each next one is derived from the one before with a key that only
 * the server has. So a repeated refresh gives the very same successor, and what is stored (a SHA-256) leads
 * to no token. The tag shows that this server made the token; so one that is no longer stored is known to
 * have been used before, and a made-up one cannot sign anybody out.
 */
import { createHash, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { uuidFromBytes, uuidToBytes } from "@parley/platform/ids";

export type RefreshToken = {
  readonly deviceId: string;
  /** 1 for the first one of a device. */
  readonly generation: number;
  /** When it stops being accepted, in ms since the Unix epoch; a whole second. */
  readonly expireTimeMs: number;
  /** 32 bytes. */
  readonly secret: Uint8Array;
};

/** Keys made from the one secret of the server. */
export type RefreshTokenKeys = { readonly tagKey: Uint8Array; readonly successorKey: Uint8Array };

export const REFRESH_SECRET_BYTES = 32;
const VERSION = 1;
const TAG_BYTES = 16;
const BODY_BYTES = 1 + 16 + 4 + 4 + REFRESH_SECRET_BYTES;
const TOKEN_BYTES = BODY_BYTES + TAG_BYTES;

/** Derives the keys from the server's secret of 32 bytes (HKDF with SHA-256, RFC 5869). */
export function deriveRefreshTokenKeys(serverSecret: Uint8Array): RefreshTokenKeys {
  const derive = (label: string) =>
    new Uint8Array(hkdfSync("sha256", serverSecret, new Uint8Array(), label, 32));
  return {
    tagKey: derive("parley refresh token tag"),
    successorKey: derive("parley refresh token successor"),
  };
}

export function formatRefreshToken(token: RefreshToken, keys: RefreshTokenKeys): string {
  const bytes = Buffer.alloc(TOKEN_BYTES);
  bytes[0] = VERSION;
  bytes.set(uuidToBytes(token.deviceId), 1);
  bytes.writeUInt32BE(token.generation, 17);
  bytes.writeUInt32BE(token.expireTimeMs / 1000, 21);
  bytes.set(token.secret, 25);
  bytes.set(tagOf(bytes.subarray(0, BODY_BYTES), keys), BODY_BYTES);
  return bytes.toString("base64url");
}

/** The token, or undefined when this server did not make it. */
export function parseRefreshToken(text: string, keys: RefreshTokenKeys): RefreshToken | undefined {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.length !== TOKEN_BYTES || bytes[0] !== VERSION) return undefined;
  const tag = tagOf(bytes.subarray(0, BODY_BYTES), keys);
  if (!timingSafeEqual(tag, bytes.subarray(BODY_BYTES))) return undefined;
  return {
    deviceId: uuidFromBytes(bytes.subarray(1, 17)),
    generation: bytes.readUInt32BE(17),
    expireTimeMs: bytes.readUInt32BE(21) * 1000,
    secret: new Uint8Array(bytes.subarray(25, BODY_BYTES)),
  };
}

/** The secret of the token that follows: the same one however often it is asked for. */
export function successorSecretOf(token: RefreshToken, keys: RefreshTokenKeys): Uint8Array {
  const next = createHmac("sha256", keys.successorKey).update(token.secret).digest();
  return new Uint8Array(next);
}

/** What is stored of a token: SHA-256 of its secret, in hex. */
export function hashRefreshSecret(secret: Uint8Array): string {
  return createHash("sha256").update(secret).digest("hex");
}

function tagOf(body: Uint8Array, keys: RefreshTokenKeys): Uint8Array {
  return createHmac("sha256", keys.tagKey).update(body).digest().subarray(0, TAG_BYTES);
}
