/** Page tokens of contacts, blocks and searches: the place after which the next page begins, as base64url of JSON. */
import { invalidArgument } from "@parley/platform/errors";
import { isUuid } from "@parley/platform/ids";
import type { SearchPlace, SearchRank } from "../account-ports.ts";
import type { BlockPlace, ContactPlace } from "../contact-ports.ts";

const RANKS: readonly SearchRank[] = ["exact", "username", "display-name"];

export function encodeContactPlace(place: ContactPlace): string {
  return encode([place.name, place.userId]);
}

/** Undefined for the first page. Throws `invalidArgument` for what no answer contained. */
export function decodeContactPlace(token: string): ContactPlace | undefined {
  if (token === "") return undefined;
  const [name, userId] = decode(token, 2);
  if (typeof name !== "string" || !uuid(userId)) throw badPageToken();
  return { name, userId };
}

export function encodeBlockPlace(place: BlockPlace): string {
  return encode([place.createTimeMs, place.userId]);
}

/** Undefined for the first page. Throws `invalidArgument` for what no answer contained. */
export function decodeBlockPlace(token: string): BlockPlace | undefined {
  if (token === "") return undefined;
  const [createTimeMs, userId] = decode(token, 2);
  if (typeof createTimeMs !== "number" || !uuid(userId)) throw badPageToken();
  return { createTimeMs, userId };
}

export function encodeSearchPlace(place: SearchPlace): string {
  return encode([RANKS.indexOf(place.rank), place.name, place.username]);
}

/** Undefined for the first page. Throws `invalidArgument` for what no answer contained. */
export function decodeSearchPlace(token: string): SearchPlace | undefined {
  if (token === "") return undefined;
  const [index, name, username] = decode(token, 3);
  const rank = RANKS.find((_, position) => position === index);
  if (rank === undefined || typeof name !== "string" || typeof username !== "string") {
    throw badPageToken();
  }
  return { rank, name, username };
}

function encode(parts: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

function decode(token: string, length: number): readonly unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    if (Array.isArray(parts) && parts.length === length) return parts;
  } catch {
    // Told below like every other token that is none.
  }
  throw badPageToken();
}

function uuid(value: unknown): value is string {
  return typeof value === "string" && isUuid(value);
}

function badPageToken() {
  return invalidArgument("page_token", "The token is none that this list gave.");
}
