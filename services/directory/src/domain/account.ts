/** People and their devices, as the stores keep them and the handlers decide about them. */
import type { DevicePlatform, PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";

/** What a person lets others see. */
export type Privacy = {
  readonly presenceVisibility: PresenceVisibility;
  readonly sendReadReceipts: boolean;
  readonly searchable: boolean;
};

export type Account = {
  readonly userId: string;
  /** In lower case. */
  readonly username: string;
  readonly displayName: string;
  readonly about: string;
  readonly createTimeMs: number;
  readonly privacy: Privacy;
};

export type Device = {
  readonly deviceId: string;
  readonly userId: string;
  readonly name: string;
  readonly platform: DevicePlatform;
  readonly createTimeMs: number;
  readonly lastRefreshTimeMs: number;
};

/** Devices that a person may be signed in on at once; the contract's limit. */
export const DEVICES_MAX = 16;
/** People in an address book; the contract's limit. */
export const CONTACTS_MAX = 5000;
/** People whom one person may block; the contract's limit. */
export const BLOCKS_MAX = 5000;
/** The longest display name, in characters. */
export const DISPLAY_NAME_CHARACTERS_MAX = 64;

/** A username as it is stored and compared. */
export function foldUsername(username: string): string {
  return username.toLowerCase();
}

/**
 * A text as searches compare it: compatibility forms united (NFKC), case folded, blanks trimmed, cut to 64
 * characters, which is as long as a query can be.
 */
export function foldForSearch(text: string): string {
  const folded = text.toWellFormed().normalize("NFKC").toLowerCase().normalize("NFKC").trim();
  return takeCharacters(folded, DISPLAY_NAME_CHARACTERS_MAX);
}

/** A name as it is shown: on one line, without blanks around it; may become empty. */
export function cleanDisplayName(name: string): string {
  return name.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
}

/** The first characters (code points, not UTF-16 units) of a text. */
export function takeCharacters(text: string, max: number): string {
  if (text.length <= max) return text;
  return [...text].slice(0, max).join("");
}
