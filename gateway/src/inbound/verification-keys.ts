/** The directory's public keys, kept until a token names one that is not among them. */
import type { Client } from "@connectrpc/connect";
import type { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import type { Clock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";

export type VerificationKeys = {
  /** The keys, from memory if they are there. */
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

export function createVerificationKeys(options: {
  readonly directory: Pick<Client<typeof DirectoryService>, "getVerificationKeys">;
  readonly clock: Clock;
}): VerificationKeys {
  const { directory, clock } = options;
  let keys: KeySet | undefined;
  let asking: Promise<KeySet> | undefined;
  let askedMs = Number.NEGATIVE_INFINITY;

  const ask = async (): Promise<KeySet> => {
    try {
      askedMs = clock.nowMs();
      const { jwksJson, issuer } = await directory.getVerificationKeys({});
      keys = { keyOf: createLocalJWKSet(JSON.parse(jwksJson) as JSONWebKeySet), issuer };
      return keys;
    } catch (cause) {
      askedMs = Number.NEGATIVE_INFINITY;
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

  return {
    get: () => (keys === undefined ? askOnce() : Promise.resolve(keys)),
    refresh() {
      if (asking !== undefined) return asking;
      const recent = Math.abs(clock.nowMs() - askedMs) < REFRESH_INTERVAL_MS;
      return recent ? Promise.resolve(undefined) : askOnce();
    },
  };
}
