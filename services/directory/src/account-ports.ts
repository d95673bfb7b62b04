/** What the account half of the directory needs: storage of people and devices, hashing, signing, telling. */
import type { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import type { Account, Device, Privacy } from "./domain/account.ts";
import type { ExternalClaims } from "./domain/external-username.ts";
import type { RotationDecision, RotationSnapshot, StoredToken } from "./domain/rotation.ts";

/** A person at an external issuer. */
export type ExternalSubject = { readonly issuer: string; readonly subject: string };

/** A device that signs in, with its first refresh token. */
export type NewDevice = { readonly device: Device; readonly token: StoredToken };

export type NewAccount = {
  readonly account: Account;
  /** A PHC string; undefined for people who come from an external issuer. */
  readonly passwordHash: string | undefined;
  readonly externalSubject?: ExternalSubject;
  readonly first: NewDevice;
};

/** Where a page of a search ended: which kind of match the last one was, and its place among those. */
export type SearchPlace = {
  readonly rank: SearchRank;
  /** What matches of this rank are ordered by: the folded display name for `display-name`, else empty. */
  readonly name: string;
  readonly username: string;
};

/** How a person matches, best first. */
export type SearchRank = "exact" | "username" | "display-name";

export type SearchMatch = { readonly account: Account; readonly place: SearchPlace };

/**
 * Accounts.
 *
 * Every writing call is one transaction that is durable when its promise resolves, and leaves nothing when
 * it rejects. When a call rejects because the database went away, its outcome is unknown. Reads see what is
 * committed when they are called.
 */
export type AccountStore = {
  /**
   * Writes an account and its first device. Under any concurrency one of several calls with the same
   * username (or external subject) creates the account, and the others get `username-taken` (or
   * `subject-taken`) with nothing written.
   */
  createAccount(
    account: NewAccount,
  ): Promise<{ readonly kind: "created" | "username-taken" | "subject-taken" }>;

  /** The account of a folded username, with its password's hash; undefined if there is none. */
  findByUsername(
    username: string,
  ): Promise<{ readonly account: Account; readonly passwordHash: string | undefined } | undefined>;

  /** The account that a person of the external issuer has. */
  findBySubject(subject: ExternalSubject): Promise<Account | undefined>;

  /** The hash of a person's password; undefined if the person or the password does not exist. */
  readPasswordHash(userId: string): Promise<string | undefined>;

  /** Those of the accounts that exist, each once, in no particular order. */
  readAccounts(userIds: readonly string[]): Promise<readonly Account[]>;

  /** Changes what is given and gives the account after it; undefined if it does not exist. */
  updateProfile(
    userId: string,
    profile: { readonly displayName?: string | undefined; readonly about?: string | undefined },
  ): Promise<Account | undefined>;

  /** Replaces the settings. False if the account does not exist. */
  updatePrivacy(userId: string, privacy: Privacy): Promise<boolean>;

  /**
   * Replaces the password's hash if it still is `expectedHash` and the calling device is still signed in,
   * and signs every other device out as `DeviceStore.revokeDevices` does. Gives the devices signed out.
   */
  changePassword(change: {
    readonly userId: string;
    readonly deviceId: string;
    readonly expectedHash: string;
    readonly newHash: string;
    readonly nowMs: number;
  }): Promise<
    | { readonly kind: "changed"; readonly revokedDeviceIds: readonly string[] }
    | { readonly kind: "password-changed" }
    | { readonly kind: "device-revoked" }
  >;

  /**
   * Replaces the password's hash by another one of the same password, if it still is `expectedHash`; false and
   * nothing written otherwise. Signs nobody out.
   */
  renewPasswordHash(renewal: {
    readonly userId: string;
    readonly expectedHash: string;
    readonly newHash: string;
  }): Promise<boolean>;

  /**
   * People whose username or folded display name starts with `prefix` (folded), best match first, after a
   * place. Leaves out who blocks the viewer, and who is not searchable unless `prefix` is their username.
   */
  searchAccounts(query: {
    readonly viewerUserId: string;
    readonly prefix: string;
    readonly after: SearchPlace | undefined;
    readonly limit: number;
  }): Promise<readonly SearchMatch[]>;
};

/**
 * Devices and their refresh tokens. Transactions as in `AccountStore`.
 *
 * A device is signed in until it is revoked or its newest token expires. It is remembered for 90 days after
 * that, and then forgotten when the person signs in again. Revoking writes the device's row and its entry in
 * the outbox of revocations together: were the entry written afterwards, a crash between the two would leave
 * a signed-out device reading until its access token expires.
 */
export type DeviceStore = {
  /**
   * Signs a device in, if the person is signed in on fewer than `devicesMax` and the password still is the
   * one that was checked (`expectedHash`; undefined when none was). Without the second condition, a sign-in
   * that overlaps a change of the password would outlive it.
   */
  addDevice(
    added: NewDevice,
    conditions: { readonly devicesMax: number; readonly expectedHash: string | undefined },
  ): Promise<{ readonly kind: "added" | "device-limit" | "password-changed" }>;

  /** A person's signed-in devices, newest first. */
  listDevices(userId: string, nowMs: number): Promise<readonly Device[]>;

  /**
   * Signs a device out; does nothing if it is out already. False if it never was this person's, or is
   * forgotten.
   */
  revokeDevice(userId: string, deviceId: string, nowMs: number): Promise<boolean>;

  /** Those of the devices that are not signed in: revoked, expired or unknown. */
  filterRevoked(deviceIds: readonly string[], nowMs: number): Promise<readonly string[]>;

  /**
   * Decides about a refresh token under its device's lock, and writes what was decided: of ten calls with one
   * token, one rotates it and nine repeat. `reused` signs the device out. `decide` is pure and may be called
   * more than once.
   */
  rotateToken(
    deviceId: string,
    nowMs: number,
    decide: (snapshot: RotationSnapshot | undefined) => RotationDecision,
  ): Promise<{ readonly userId: string; readonly decision: RotationDecision }>;
};

/** Devices whose sessions are still to be ended; written by the transactions of the other stores. */
export type RevocationOutbox = {
  /** The oldest entries, oldest first. */
  listRevocations(
    limit: number,
  ): Promise<readonly { readonly userId: string; readonly deviceId: string }[]>;

  /** Forgets entries whose sessions have ended. Idempotent. */
  deleteRevocations(deviceIds: readonly string[]): Promise<void>;
};

/** Settings that other parts apply. */
export type PrivacyStore = {
  /** The presence setting of those of the people who exist. */
  readVisibilities(userIds: readonly string[]): Promise<ReadonlyMap<string, PresenceVisibility>>;
  /** Those of the people who send no read receipts. */
  filterHidingReceipts(userIds: readonly string[]): Promise<readonly string[]>;
};

/** Secrets that the service makes for itself. */
export type ServerKeyStore = {
  /**
   * The value of this name; if there is none yet, `proposed` becomes it. Of several processes that start at
   * once, all get the same value.
   */
  readOrCreate(name: string, proposed: string, nowMs: number): Promise<string>;
  /** The values whose names start with `prefix` (letters, digits and hyphens), in no particular order. */
  list(prefix: string): Promise<readonly ServerKey[]>;
  /** Forgets what has one of these names. Idempotent. */
  delete(names: readonly string[]): Promise<void>;
};

/** A secret with its name, and when it was made. */
export type ServerKey = {
  readonly name: string;
  readonly value: string;
  readonly createTimeMs: number;
};

/** Slow hashing of passwords, a bounded number at a time. */
export type PasswordHasher = {
  /** A PHC string. Rejects with `RESOURCE_EXHAUSTED` / `HASHING_BUSY` when too many calls wait. */
  hash(password: string): Promise<string>;
  /**
   * Whether the password is the hash's. Without a hash (an unknown person) the answer is false, and takes the
   * same work. Rejects as `hash` does.
   */
  verify(password: string, hash: string | undefined): Promise<boolean>;
  /** Whether the hash was made with other parameters than new ones are. */
  needsRenewal(hash: string): boolean;
};

/** Signs access tokens. */
export type AccessTokenSigner = {
  /**
   * A JWT. Same claims, same token, from any process: the time of issue decides which key signs, and the
   * signature (Ed25519) has no randomness.
   */
  sign(claims: {
    readonly userId: string;
    readonly deviceId: string;
    readonly issueTimeMs: number;
    readonly expireTimeMs: number;
  }): Promise<string>;
  /** The public keys of every token that may still be valid, as a JSON Web Key Set (RFC 7517), as of now. */
  readJwksJson(): Promise<string>;
  readonly issuer: string;
};

/** A token of the external issuer that verified. */
export type ExternalIdentity = ExternalSubject & { readonly claims: ExternalClaims };

/** Verifies tokens of the issuer that the operator configured. */
export type ExternalIssuer = {
  /**
   * Who the token is about. Undefined when it does not verify. Rejects with `UNAVAILABLE` /
   * `EXTERNAL_ISSUER_UNREACHABLE` when the issuer's keys cannot be had.
   */
  verify(token: string): Promise<ExternalIdentity | undefined>;
};

/** Ends the sessions of signed-out devices. */
export type Revocations = {
  /**
   * Resolves when the sessions of these devices have ended, or after a bounded wait: they are then ended
   * later. Called after the revocation was committed. Never rejects.
   */
  waitEnded(deviceIds: readonly string[]): Promise<void>;
};
