/** Usernames for people who come from an external issuer. */
import { cleanDisplayName, DISPLAY_NAME_CHARACTERS_MAX, takeCharacters } from "./account.ts";

/** What a token says about a person; all of it is optional, and none of it is trusted to be well-formed. */
export type ExternalClaims = {
  readonly preferredUsername?: string | undefined;
  readonly nickname?: string | undefined;
  readonly email?: string | undefined;
  readonly name?: string | undefined;
};

const USERNAME_CHARACTERS_MIN = 3;
const USERNAME_CHARACTERS_MAX = 32;

/** The username that the claims suggest: valid, and perhaps taken. */
export function suggestUsername(claims: ExternalClaims): string {
  const sources = [claims.preferredUsername, claims.nickname, claims.email, claims.name];
  for (const source of sources) {
    const made = toUsername(source ?? "");
    if (made !== "") return made;
  }
  return "user";
}

/** The suggestion with a suffix that tells its bearer from namesakes; the suffix is `a-z0-9`. */
export function withSuffix(username: string, suffix: string): string {
  return `${username.slice(0, USERNAME_CHARACTERS_MAX - suffix.length - 1)}_${suffix}`;
}

/** The name to show; the username if the claims have none. */
export function suggestDisplayName(claims: ExternalClaims, username: string): string {
  const name = takeCharacters(
    cleanDisplayName(claims.name ?? ""),
    DISPLAY_NAME_CHARACTERS_MAX,
  ).trim();
  return name === "" ? username : name;
}

/** Letters lose their accents, what is not allowed becomes `_`; empty if no letter or digit is left. */
function toUsername(source: string): string {
  const at = source.indexOf("@");
  const local = at > 0 ? source.slice(0, at) : source;
  const plain = local
    .normalize("NFKD")
    .replace(/\p{Mark}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9_.]+/g, "_")
    .replace(/^[_.]+|[_.]+$/g, "");
  if (plain === "") return "";
  const begun = /^[a-z]/.test(plain) ? plain : `u_${plain}`;
  return begun.slice(0, USERNAME_CHARACTERS_MAX).padEnd(USERNAME_CHARACTERS_MIN, "_");
}
