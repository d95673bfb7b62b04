/**
 * Passwords as argon2id hashes (RFC 9106) in PHC strings:
 * `$argon2id$v=19$m=19456,t=2,p=1$<salt, 16 bytes>$<hash, 32 bytes>`, both in base64 without padding.
 */
import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { resourceExhausted } from "@parley/platform/errors";
import type { PasswordHasher } from "./account-ports.ts";

export type PasswordHasherOptions = {
  /** Memory of one hash, in KiB. */
  readonly memoryKib: number;
  readonly passes: number;
  readonly parallelism: number;
  /** Hashes computed at once: each one occupies a thread of the pool that disk reads need too. */
  readonly concurrencyMax: number;
  /** Calls that wait for their turn. */
  readonly waitingMax: number;
};

const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** A hash takes tens of milliseconds; after this long a queue has moved on. */
const RETRY_AFTER_MS = 1000;

const argon2Async = promisify(argon2);

type Parameters = Pick<PasswordHasherOptions, "memoryKib" | "passes" | "parallelism">;

type ParsedHash = Parameters & { readonly salt: Uint8Array; readonly hash: Uint8Array };

/** Creates the hasher; it holds nothing that must be given back. */
export function createPasswordHasher(options: PasswordHasherOptions): PasswordHasher {
  const turns = createTurns(options.concurrencyMax, options.waitingMax);
  // What an unknown person's password is compared with: no password leads to it.
  const nobody: ParsedHash = {
    ...options,
    salt: randomBytes(SALT_BYTES),
    hash: randomBytes(HASH_BYTES),
  };
  return {
    async hash(password) {
      const salt = randomBytes(SALT_BYTES);
      const hash = await turns.run(() => compute(password, salt, options));
      return formatHash({ ...options, salt, hash });
    },
    async verify(password, stored) {
      const { salt, hash, ...parameters } = stored === undefined ? nobody : parseHash(stored);
      const computed = await turns.run(() => compute(password, salt, parameters));
      return timingSafeEqual(computed, hash) && stored !== undefined;
    },
    needsRenewal(stored) {
      const { memoryKib, passes, parallelism } = parseHash(stored);
      return (
        memoryKib !== options.memoryKib ||
        passes !== options.passes ||
        parallelism !== options.parallelism
      );
    },
  };
}

/** The same letters typed on another keyboard are the same password (RFC 8265, OpaqueString). */
function compute(password: string, salt: Uint8Array, parameters: Parameters): Promise<Uint8Array> {
  return argon2Async("argon2id", {
    message: password.normalize("NFC"),
    nonce: salt,
    parallelism: parameters.parallelism,
    tagLength: HASH_BYTES,
    memory: parameters.memoryKib,
    passes: parameters.passes,
  });
}

function formatHash({ memoryKib, passes, parallelism, salt, hash }: ParsedHash): string {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64").replace(/=+$/, "");
  return `$argon2id$v=19$m=${memoryKib},t=${passes},p=${parallelism}$${text(salt)}$${text(hash)}`;
}

const PHC = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

function parseHash(stored: string): ParsedHash {
  const parts = PHC.exec(stored);
  const hash = Buffer.from(parts?.[5] ?? "", "base64");
  if (parts === null || hash.length !== HASH_BYTES) {
    throw new Error("a stored password hash is no argon2id hash of 32 bytes");
  }
  return {
    memoryKib: Number(parts[1]),
    passes: Number(parts[2]),
    parallelism: Number(parts[3]),
    salt: Buffer.from(parts[4] ?? "", "base64"),
    hash,
  };
}

function createTurns(concurrencyMax: number, waitingMax: number) {
  const waiting: (() => void)[] = [];
  let running = 0;
  return {
    async run<T>(work: () => Promise<T>): Promise<T> {
      if (running >= concurrencyMax) {
        if (waiting.length >= waitingMax) {
          throw resourceExhausted("HASHING_BUSY", "Too many people are signing in at the moment.", {
            retryAfterMs: RETRY_AFTER_MS,
          });
        }
        // Whoever ends hands their turn over, so `running` stays as it is.
        await new Promise<void>((resolve) => waiting.push(resolve));
      } else {
        running++;
      }
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next === undefined) running--;
        else next();
      }
    },
  };
}
