/** What becomes of a refresh token that is presented. */

/** How long the same token may be presented again, in ms; the contract's 60 seconds. */
export const ROTATION_GRACE_MS = 60_000;

export type StoredToken = {
  readonly generation: number;
  /** SHA-256 of the secret, in hex. */
  readonly tokenHash: string;
  readonly issueTimeMs: number;
  readonly expireTimeMs: number;
  /** When it was exchanged; undefined for the newest. */
  readonly rotateTimeMs: number | undefined;
};

/** A device under its lock, with the newest token and those that were exchanged lately. */
export type RotationSnapshot = {
  readonly userId: string;
  readonly revoked: boolean;
  /** The newest token's generation. */
  readonly generation: number;
  readonly tokens: readonly StoredToken[];
};

export type Presented = {
  readonly generation: number;
  readonly tokenHash: string;
  readonly expireTimeMs: number;
  readonly successorHash: string;
};

export type RotationDecision =
  /** Exchange it: the new token is written, and the old one may be repeated for a while. */
  | { readonly kind: "rotate"; readonly issued: StoredToken }
  /** A repetition: the answer of the first time again. */
  | { readonly kind: "repeat"; readonly issued: StoredToken }
  /** Somebody else has, or had, this token: the device is signed out. */
  | { readonly kind: "reused" }
  | { readonly kind: "invalid" };

/**
 * Decides about a token that this server made. `snapshot` is undefined when there is no such device. A
 * token whose generation is past and that is not stored any more was exchanged longer ago than the grace.
 */
export function decideRotation(
  snapshot: RotationSnapshot | undefined,
  presented: Presented,
  times: { readonly nowMs: number; readonly lifetimeMs: number },
): RotationDecision {
  if (snapshot === undefined || snapshot.revoked) return { kind: "invalid" };
  if (times.nowMs >= presented.expireTimeMs) return { kind: "invalid" };
  const { generation } = presented;
  const stored = snapshot.tokens.find((token) => token.generation === generation);
  if (stored === undefined) {
    return generation < snapshot.generation ? { kind: "reused" } : { kind: "invalid" };
  }
  if (stored.tokenHash !== presented.tokenHash) return { kind: "invalid" };
  if (stored.rotateTimeMs === undefined) {
    return { kind: "rotate", issued: issueToken(generation + 1, presented.successorHash, times) };
  }
  const successor = snapshot.tokens.find((token) => token.generation === generation + 1);
  const repeated = times.nowMs - stored.rotateTimeMs <= ROTATION_GRACE_MS;
  return repeated && successor !== undefined
    ? { kind: "repeat", issued: successor }
    : { kind: "reused" };
}

/** A new token as it is stored. Its expiry is a whole second, because the token itself carries seconds. */
export function issueToken(
  generation: number,
  tokenHash: string,
  times: { readonly nowMs: number; readonly lifetimeMs: number },
): StoredToken {
  return {
    generation,
    tokenHash,
    issueTimeMs: times.nowMs,
    expireTimeMs: Math.floor((times.nowMs + times.lifetimeMs) / 1000) * 1000,
    rotateTimeMs: undefined,
  };
}
