/** A new entry of the conversation on screen, as a line. */
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { type Conversation, type EntryReference, emptyView, reduceView } from "@parley/sdk";
import {
  acceptMs,
  changeText,
  clockTime,
  excerpt,
  indented,
  type Style,
  safeText,
  UNSUPPORTED,
  wordsOf,
} from "./format.ts";

export type EntryLineContext = {
  readonly conversation: Conversation;
  readonly name: (userId: string) => string;
  readonly style: Style;
  /** True for this person's own messages: they carry the mark of being stored. */
  readonly own: boolean;
};

export async function entryLine(entry: Message, context: EntryLineContext): Promise<string> {
  const { name, style, own } = context;
  const words = wordsOf(entry);
  const who = style.name(name(entry.senderUserId));
  const head = style.dim(`#${entry.seq} ${clockTime(acceptMs(entry))}`);
  const stored = own ? style.dim(" ✓") : "";
  switch (words.kind) {
    case "text": {
      const reply = words.replyTo ? style.dim(`(to ${await quote(words.replyTo, context)}) `) : "";
      return `${head} ${who}: ${reply}${indented(words.text)}${stored}`;
    }
    case "change":
      return `${head} ${style.dim(`— ${changeText(words.change, name)}`)}`;
    case "reaction": {
      const what =
        words.emoji === "" ? "took a reaction back from" : `reacted ${excerpt(words.emoji, 8)} to`;
      return `${head} ${who} ${style.dim(`${what} ${await quote(words.target, context)}`)}`;
    }
    case "edit":
      return `${head} ${who} ${style.dim(`edited #${words.target.seq}:`)} ${indented(words.text)}`;
    case "deletion":
      return `${head} ${who} ${style.dim(`deleted #${words.target.seq}`)}`;
    default:
      return `${head} ${who}: ${style.dim(safeText(UNSUPPORTED))}`;
  }
}

/** The message that an entry is about, in a few words where they can be read. */
async function quote(
  target: EntryReference,
  { conversation, name }: EntryLineContext,
): Promise<string> {
  const page = await conversation
    .history({ before: target.seq + 1n, count: 1 })
    .catch(() => undefined);
  const { messages } = reduceView(emptyView, page?.entries ?? []);
  const found = messages.find((m) => m.seq === target.seq && m.messageId === target.messageId);
  if (found?.kind !== "text") return `#${target.seq}`;
  return `#${target.seq} ${name(found.senderUserId)}: "${excerpt(found.text, 30)}"`;
}
