/** The directory's public keys: asked for again when a token names one that is not among them, and from time to time. */
import type { Client } from "@connectrpc/connect";
import type { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import type { Clock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";

export type VerificationKeys = {
  /** The keys, from memory if they are there; the same object for as long as nothing about them changed. */
  get(): Promise<KeySet>;
  /** Asks the directory again, at most once within some seconds; undefined if that was just done. */
  refresh(): Promise<KeySet | undefined>;
};

export type KeySet = {
  readonly keyOf: ReturnType<typeof createLocalJWKSet>;
  readonly issuer: string;
};

/** A stranger who sends tokens with made-up key ids costs one question per this time. */
const REFRESH_INTERVAL_MS = 5000;
/** A key that the directory has retired is believed for so much longer. */
const KEYS_AGE_MS_MAX = 60_000;

export function createVerificationKeys(options: {
  readonly directory: Pick<Client<typeof DirectoryService>, "getVerificationKeys">;
  readonly clock: Clock;
}): VerificationKeys {
  const { directory, clock } = options;
  let keys: (KeySet & { readonly jwksJson: string }) | undefined;
  let asking: Promise<KeySet> | undefined;
  let answeredMs = Number.NEGATIVE_INFINITY;
  let askedMs = Number.NEGATIVE_INFINITY;

  const ask = async (): Promise<KeySet> => {
    try {
      askedMs = clock.nowMs();
      const { jwksJson, issuer } = await directory.getVerificationKeys({});
      if (keys?.jwksJson !== jwksJson || keys.issuer !== issuer) {
        const keyOf = createLocalJWKSet(JSON.parse(jwksJson) as JSONWebKeySet);
        keys = { keyOf, issuer, jwksJson };
      }
      answeredMs = askedMs;
      return keys;
    } catch (cause) {
      answeredMs = Number.NEGATIVE_INFINITY;
      const text = "The keys for access tokens cannot be read.";
      throw unavailable("KEYS_UNAVAILABLE", text, { cause });
    } finally {
      asking = undefined;
    }
  };

  const askOnce = () => {
    asking ??= ask();
    return asking;
  };

  const within = (sinceMs: number, spanMs: number) => Math.abs(clock.nowMs() - sinceMs) < spanMs;

  return {
    get() {
      if (keys === undefined) return askOnce();
      if (!within(answeredMs, KEYS_AGE_MS_MAX) && !within(askedMs, REFRESH_INTERVAL_MS)) {
        // Nobody waits for it, and while the directory is away the keys that are known go on.
        askOnce().catch(() => undefined);
      }
      return Promise.resolve(keys);
    },
    refresh() {
      if (asking !== undefined) return asking;
      return within(answeredMs, REFRESH_INTERVAL_MS) ? Promise.resolve(undefined) : askOnce();
    },
  };
}
