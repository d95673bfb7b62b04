/** What entries say about earlier entries: reactions, edits and deletions, collected by target. */
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { decodeContent, type EntryReference } from "./content.ts";

/** All that was said about one target, by whom. Who may say it is decided when the target is known. */
export type Annotations = {
  /** The newest reaction of each person; an empty emoji took an earlier one back. */
  readonly reactions: ReadonlyMap<string, { readonly seq: bigint; readonly emoji: string }>;
  /** The newest edit of each person. */
  readonly edits: ReadonlyMap<
    string,
    { readonly seq: bigint; readonly text: string; readonly mentions: readonly string[] }
  >;
  /** Who deleted the target. */
  readonly deletedBy: ReadonlySet<string>;
};

export const emptyAnnotations: Annotations = {
  reactions: new Map(),
  edits: new Map(),
  deletedBy: new Set(),
};

/** Identifies a target. The id is part of it: a reference whose id does not belong to its `seq` finds nothing. */
export function keyOf({ seq, messageId }: EntryReference): string {
  return `${seq}/${messageId}`;
}

/**
 * If `entry` is about an earlier one, adds it to the collection and returns the target's key. Undefined if it
 * is a line of its own. An annotation that says nothing valid is swallowed: the key is then "".
 */
export function annotate(
  annotations: Map<string, Annotations>,
  entry: Message,
): string | undefined {
  if (entry.body.case !== "payload") return undefined;
  const kind = decodeContent(entry.body.value)?.kind;
  if (!kind || (kind.case !== "reaction" && kind.case !== "edit" && kind.case !== "deletion")) {
    return undefined;
  }
  const { target } = kind.value;
  if (!target || target.seq >= entry.seq) return "";
  const key = keyOf(target);
  const present = annotations.get(key) ?? emptyAnnotations;
  const author = entry.senderUserId;
  switch (kind.case) {
    case "reaction": {
      const reactions = newest(present.reactions, author, {
        seq: entry.seq,
        emoji: kind.value.emoji,
      });
      annotations.set(key, { ...present, reactions });
      return key;
    }
    case "edit": {
      if (!kind.value.text) return "";
      const { text, mentionedUserIds } = kind.value.text;
      const edits = newest(present.edits, author, {
        seq: entry.seq,
        text,
        mentions: mentionedUserIds,
      });
      annotations.set(key, { ...present, edits });
      return key;
    }
    case "deletion":
      annotations.set(key, { ...present, deletedBy: new Set([...present.deletedBy, author]) });
      return key;
  }
}

function newest<T extends { readonly seq: bigint }>(
  map: ReadonlyMap<string, T>,
  userId: string,
  value: T,
): ReadonlyMap<string, T> {
  const present = map.get(userId);
  return present && present.seq >= value.seq ? map : new Map(map).set(userId, value);
}
