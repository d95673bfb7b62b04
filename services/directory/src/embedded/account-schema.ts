/** The account half's tables. Times are ms since the Unix epoch; booleans are 0 and 1. */
import type { DevicePlatform, PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";

export type UserRow = {
  user_id: string;
  /** In lower case; unique. */
  username: string;
  display_name: string;
  /** What searches compare with and lists are ordered by: folded, at most 64 characters. */
  display_name_folded: string;
  about: string;
  /** A PHC string; null for people who sign in only through the external issuer. */
  password_hash: string | null;
  presence_visibility: PresenceVisibility;
  send_read_receipts: number;
  searchable: number;
  create_time_ms: number;
};

export type DeviceRow = {
  device_id: string;
  user_id: string;
  name: string;
  platform: DevicePlatform;
  create_time_ms: number;
  last_refresh_time_ms: number;
  /** When the newest refresh token stops being accepted; the device counts as signed out from then on. */
  expire_time_ms: number;
  /** Null while it is signed in. */
  revoke_time_ms: number | null;
  /** Counts the refresh tokens of the device; the newest one's number. */
  generation: number;
};

/** The newest refresh token of a device, and those before it that may still be repeated. */
export type RefreshTokenRow = {
  device_id: string;
  generation: number;
  /** SHA-256 of the token, in hex. */
  token_hash: string;
  issue_time_ms: number;
  expire_time_ms: number;
  /** When it was exchanged for the next generation; null for the newest. */
  rotate_time_ms: number | null;
};

/** Who is who at an external issuer. */
export type ExternalSubjectRow = {
  issuer: string;
  subject: string;
  user_id: string;
};

/** A device whose sessions are still to be ended. */
export type RevocationOutboxRow = {
  device_id: string;
  user_id: string;
  create_time_ms: number;
};

export type ContactRow = {
  user_id: string;
  contact_user_id: string;
  create_time_ms: number;
};

export type BlockRow = {
  user_id: string;
  blocked_user_id: string;
  create_time_ms: number;
};

/** A pair whose direct conversation is still to be told whether the blocked person may write. */
export type BlockOutboxRow = {
  blocker_user_id: string;
  blocked_user_id: string;
  /** A UUID of this change; a relay forgets only what it has told. */
  change_id: string;
};

/** Secrets that the service made for itself at its first start. */
export type ServerKeyRow = {
  name: string;
  value: string;
  create_time_ms: number;
};

export type AccountTables = {
  users: UserRow;
  devices: DeviceRow;
  refresh_tokens: RefreshTokenRow;
  external_subjects: ExternalSubjectRow;
  revocation_outbox: RevocationOutboxRow;
  contacts: ContactRow;
  blocks: BlockRow;
  block_outbox: BlockOutboxRow;
  server_keys: ServerKeyRow;
};
