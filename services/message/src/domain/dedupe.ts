/** Recognising a repeated message. */

/**
 * What identifies a message as its sender means it. Two sends of one device with the same
 * `clientMessageId` in one conversation are the same message.
 */
export type DedupeKey = {
  readonly conversationId: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly clientMessageId: string;
};

/** What an accepted message leaves behind for its repetitions. */
export type DedupeEntry = {
  readonly key: DedupeKey;
  /** The record that was accepted. */
  readonly offset: number;
  readonly seq: number;
  readonly messageId: bigint;
  readonly appendTimeMs: number;
};

/** The key as one string, the same for the same key and for no other: no part holds the separator. */
export function dedupeKeyText(key: DedupeKey): string {
  return `${key.conversationId}\n${key.userId}\n${key.deviceId}\n${key.clientMessageId}`;
}

/**
 * Whether a record repeats the message of an entry. The window is a difference of append times, so the
 * answer is the same on every replay. An entry with the record's own offset was made by this very record
 * before a crash; one with a later offset was made by its future.
 */
export function isDuplicate(
  known: Pick<DedupeEntry, "offset" | "appendTimeMs">,
  position: { readonly offset: number; readonly appendTimeMs: number },
  windowMs: number,
): boolean {
  if (known.offset >= position.offset) return false;
  return position.appendTimeMs - known.appendTimeMs < windowMs;
}
