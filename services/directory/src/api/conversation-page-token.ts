/** Page tokens of the conversation lists: the place after which the next page begins, as base64url of JSON. */

import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { isUuid } from "@parley/platform/ids";
import type { MemberPlace, MembershipPlace } from "../conversation-ports.ts";
import type { KnownRole } from "../domain/conversation.ts";
import { badPageToken } from "./conversation-handler.ts";

export function encodeMembershipPlace(place: MembershipPlace): string {
  return encode([place.joinTimeMs, place.conversationId]);
}

/** Undefined for the first page. Throws `invalidArgument` for what no answer contained. */
export function decodeMembershipPlace(token: string): MembershipPlace | undefined {
  if (token === "") return undefined;
  const [joinTimeMs, conversationId] = decode(token, 2);
  return { joinTimeMs: count(joinTimeMs), conversationId: uuid(conversationId) };
}

export function encodeMemberPlace(place: MemberPlace): string {
  return encode([place.role, place.joinVersion, place.userId]);
}

/** Undefined for the first page. Throws `invalidArgument` for what no answer contained. */
export function decodeMemberPlace(token: string): MemberPlace | undefined {
  if (token === "") return undefined;
  const [role, joinVersion, userId] = decode(token, 3);
  return { role: knownRole(role), joinVersion: count(joinVersion), userId: uuid(userId) };
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

function count(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  throw badPageToken();
}

function uuid(value: unknown): string {
  if (typeof value === "string" && isUuid(value)) return value;
  throw badPageToken();
}

function knownRole(value: unknown): KnownRole {
  const role = Object.values(Role).find((known) => known === value);
  if (role !== undefined) return role;
  throw badPageToken();
}
