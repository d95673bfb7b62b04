/** Writes that are visible and not yet on disk, the newest per conversation and row. */
import { createDeferred, type Deferred } from "@parley/platform/async/deferred";
import type { LogPlace } from "../ports.ts";
import type { StoredConversation, StoredRow } from "./inbox-encoding.ts";

export type Unwritten = {
  readonly conversations: Map<string, StoredConversation>;
  /** Conversations whose members changed too. */
  readonly membersChanged: Set<string>;
  /** By user, then by conversation. */
  readonly rows: Map<string, Map<string, StoredRow>>;
  /** By partition. */
  readonly places: Map<number, LogPlace>;
  /** Conversations and rows in here. */
  size: number;
  /** Settled when this generation is durable. */
  readonly durable: Deferred<void>;
};

export function createUnwritten(): Unwritten {
  const durable = createDeferred<void>();
  // Whoever does not wait for it need not handle its rejection either.
  durable.promise.catch(() => undefined);
  return {
    conversations: new Map(),
    membersChanged: new Set(),
    rows: new Map(),
    places: new Map(),
    size: 0,
    durable,
  };
}

export function putConversation(
  unwritten: Unwritten,
  stored: StoredConversation,
  membersChanged: boolean,
): void {
  const { conversationId } = stored.conversation;
  if (!unwritten.conversations.has(conversationId)) unwritten.size++;
  unwritten.conversations.set(conversationId, stored);
  if (membersChanged) unwritten.membersChanged.add(conversationId);
}

export function putRow(
  unwritten: Unwritten,
  userId: string,
  conversationId: string,
  stored: StoredRow,
): void {
  let rows = unwritten.rows.get(userId);
  if (rows === undefined) {
    rows = new Map();
    unwritten.rows.set(userId, rows);
  }
  if (!rows.has(conversationId)) unwritten.size++;
  rows.set(conversationId, stored);
}

/** Puts back what could not be written, under what came since. */
export function putBack(unwritten: Unwritten, failed: Unwritten): void {
  for (const [conversationId, stored] of failed.conversations) {
    const newer = unwritten.conversations.get(conversationId) ?? stored;
    putConversation(unwritten, newer, failed.membersChanged.has(conversationId));
  }
  for (const [userId, rows] of failed.rows) {
    for (const [conversationId, stored] of rows) {
      const newer = unwritten.rows.get(userId)?.get(conversationId) ?? stored;
      putRow(unwritten, userId, conversationId, newer);
    }
  }
  for (const [partition, place] of failed.places) {
    if (!unwritten.places.has(partition)) unwritten.places.set(partition, place);
  }
  unwritten.durable.promise.then(failed.durable.resolve, failed.durable.reject);
}
