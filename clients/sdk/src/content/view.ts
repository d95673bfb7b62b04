/**
 * A conversation as people see it, computed from its entries.
 *
 * `reduceView` is pure, and order does not matter: any split of the same entries into batches, in any order,
 * with repetitions, gives the same view. Reactions, edits and deletions that arrive before their target wait.
 */
import type { ConversationChange } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { type Annotations, annotate, emptyAnnotations, keyOf } from "./annotations.ts";
import { decodeContent, type EntryReference } from "./content.ts";

/** One line of a conversation. */
export type ViewMessage = EntryReference & {
  readonly conversationId: string;
  readonly senderUserId: string;
  readonly senderDeviceId: string;
  readonly clientMessageId: string;
  /** When the log took it, in ms since 1970. */
  readonly acceptTimeMs: number;
  readonly unreadOrdinal: bigint;
  /** `unsupported`: content of a newer client, or bytes that are no content. */
  readonly kind: "text" | "deleted" | "change" | "unsupported";
  /** The words as they are now; empty unless `kind` is `text`. */
  readonly text: string;
  readonly mentions: readonly string[];
  readonly edited: boolean;
  /** The message that this one answers, as a reference: it may not be loaded. */
  readonly replyTo: EntryReference | undefined;
  /** By emoji in the order of their first use; people in the order in which they reacted. */
  readonly reactions: readonly { readonly emoji: string; readonly userIds: readonly string[] }[];
  /** How the conversation changed, if `kind` is `change`. */
  readonly change: ConversationChange | undefined;
};

/** The view. `messages` is ascending by `seq` and holds what people see; reactions, edits and deletions act on it. */
export type ConversationView = {
  readonly messages: readonly ViewMessage[];
  readonly originals: ReadonlyMap<bigint, ViewMessage>;
  readonly annotations: ReadonlyMap<string, Annotations>;
};

/** The view of no entries. */
export const emptyView: ConversationView = {
  messages: [],
  originals: new Map(),
  annotations: new Map(),
};

/** The view with `entries` added. */
export function reduceView(view: ConversationView, entries: Iterable<Message>): ConversationView {
  const originals = new Map(view.originals);
  const annotations = new Map(view.annotations);
  const changed = new Set<string>();
  for (const entry of entries) {
    const target = annotate(annotations, entry);
    if (target !== undefined) {
      if (target !== "") changed.add(target);
      continue;
    }
    if (originals.has(entry.seq)) continue;
    originals.set(entry.seq, originalOf(entry));
    changed.add(keyOf(entry));
  }
  if (changed.size === 0) return view;
  const shown = new Map(view.messages.map((message) => [message.seq, message]));
  for (const original of originals.values()) {
    const key = keyOf(original);
    if (changed.has(key)) {
      shown.set(original.seq, withAnnotations(original, annotations.get(key) ?? emptyAnnotations));
    }
  }
  const messages = [...shown.values()].sort((a, b) => (a.seq < b.seq ? -1 : 1));
  return { messages, originals, annotations };
}

function originalOf(entry: Message): ViewMessage {
  const base: ViewMessage = {
    conversationId: entry.conversationId,
    seq: entry.seq,
    messageId: entry.messageId,
    senderUserId: entry.senderUserId,
    senderDeviceId: entry.senderDeviceId,
    clientMessageId: entry.clientMessageId,
    acceptTimeMs:
      Number(entry.acceptTime?.seconds ?? 0n) * 1000 +
      Math.floor((entry.acceptTime?.nanos ?? 0) / 1e6),
    unreadOrdinal: entry.unreadOrdinal,
    kind: "unsupported",
    text: "",
    mentions: [],
    edited: false,
    replyTo: undefined,
    reactions: [],
    change: undefined,
  };
  if (entry.body.case === "change") return { ...base, kind: "change", change: entry.body.value };
  const content = entry.body.case === "payload" ? decodeContent(entry.body.value) : undefined;
  if (content?.kind.case !== "text") return base;
  const { text, mentionedUserIds, replyTo } = content.kind.value;
  // A reply points back; one that points forward is some client's mistake and is shown without it.
  const answers = replyTo && replyTo.seq < entry.seq ? replyTo : undefined;
  return {
    ...base,
    kind: "text",
    text,
    mentions: mentionedUserIds,
    replyTo: answers && { seq: answers.seq, messageId: answers.messageId },
  };
}

function withAnnotations(original: ViewMessage, annotations: Annotations): ViewMessage {
  if (original.kind === "change") return original;
  if (original.kind === "text" && annotations.deletedBy.has(original.senderUserId)) {
    return { ...original, kind: "deleted", text: "", mentions: [], replyTo: undefined };
  }
  const edit = original.kind === "text" ? annotations.edits.get(original.senderUserId) : undefined;
  const reactions = groupReactions(annotations);
  if (!edit) return { ...original, reactions };
  return { ...original, reactions, edited: true, text: edit.text, mentions: edit.mentions };
}

function groupReactions(annotations: Annotations): ViewMessage["reactions"] {
  const inOrder = [...annotations.reactions].sort(([, a], [, b]) => (a.seq < b.seq ? -1 : 1));
  const groups = new Map<string, string[]>();
  for (const [userId, { emoji }] of inOrder) {
    if (emoji === "") continue;
    const userIds = groups.get(emoji) ?? [];
    userIds.push(userId);
    groups.set(emoji, userIds);
  }
  return [...groups].map(([emoji, userIds]) => ({ emoji, userIds }));
}
