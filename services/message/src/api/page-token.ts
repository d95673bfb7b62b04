/** Page tokens: opaque to callers, a place in a list to us. */
import { invalidArgument } from "@parley/platform/errors";

type Part = string | number;

/** A token for a place. */
export function encodePageToken(parts: readonly Part[]): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** The place in a token. Throws `INVALID_ARGUMENT` for `page_token` unless its parts have these types. */
export function decodePageToken(
  token: string,
  types: readonly ("string" | "number")[],
): readonly Part[] {
  const parts = parse(token);
  const fits =
    Array.isArray(parts) &&
    parts.length === types.length &&
    parts.every((part, at) => typeof part === types[at]);
  if (!fits) throw invalidArgument("page_token", "is none that this server gave");
  return parts as Part[];
}

function parse(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    return undefined;
  }
}
