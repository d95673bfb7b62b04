/** Texts for a terminal. */
import type { ConversationChange } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { decodeContent, type EntryReference, type ViewMessage } from "@parley/sdk";

export type Style = {
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly name: (text: string) => string;
};

const ESCAPE = "\u001b[";
const paint = (code: number) => (text: string) => `${ESCAPE}${code}m${text}${ESCAPE}0m`;
const plain = (text: string) => text;

export function createStyle(color: boolean): Style {
  if (!color) return { dim: plain, bold: plain, warn: plain, name: plain };
  return { dim: paint(2), bold: paint(1), warn: paint(33), name: paint(36) };
}

/**
 * Other people's words without what a terminal would obey: an escape sequence could rewrite the screen, and
 * marks that turn the writing direction round could make words look like somebody else's.
 */
export function safeText(text: string): string {
  return (
    text
      .replace(/\r\n?/g, "\n")
      .replace(/\t/g, "  ")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
      .replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\ufffd")
  );
}

/** On one line, cut to a length. */
export function excerpt(text: string, characters = 40): string {
  const line = safeText(text).replace(/\s+/g, " ").trim();
  const all = [...line];
  return all.length <= characters ? line : `${all.slice(0, characters - 1).join("")}…`;
}

export function clockTime(ms: number): string {
  const date = new Date(ms);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}`;
}

export function acceptMs(entry: Message): number {
  return Number(entry.acceptTime?.seconds ?? 0n) * 1000;
}

/** How a conversation changed, in words. */
export function changeText(change: ConversationChange, name: (userId: string) => string): string {
  const actor = name(change.actorUserId);
  const { change: what } = change;
  switch (what.case) {
    case "created":
      return what.value.title === ""
        ? `${actor} opened this conversation`
        : `${actor} created the group "${excerpt(what.value.title)}"`;
    case "membersAdded":
      return `${actor} added ${what.value.userIds.map(name).join(", ")}`;
    case "memberRemoved":
      return `${actor} removed ${name(what.value.userId)}`;
    case "memberLeft":
      return `${actor} left`;
    case "memberJoined":
      return `${actor} joined by an invite link`;
    case "roleChanged":
      return `${actor} made ${name(what.value.userId)} ${roleName(what.value.role)}`;
    case "titleChanged":
      return `${actor} named the group "${excerpt(what.value.title)}"`;
    default:
      return `${actor} changed the conversation`;
  }
}

export function roleName(role: Role): string {
  if (role === Role.OWNER) return "owner";
  return role === Role.ADMIN ? "admin" : "member";
}

/** What an entry says, split into what a line needs. */
export type EntryWords =
  | { readonly kind: "text"; readonly text: string; readonly replyTo: EntryReference | undefined }
  | { readonly kind: "reaction"; readonly emoji: string; readonly target: EntryReference }
  | { readonly kind: "edit"; readonly text: string; readonly target: EntryReference }
  | { readonly kind: "deletion"; readonly target: EntryReference }
  | { readonly kind: "change"; readonly change: ConversationChange }
  | { readonly kind: "unsupported" };

export function wordsOf(entry: Message): EntryWords {
  if (entry.body.case === "change") return { kind: "change", change: entry.body.value };
  const kind = entry.body.case === "payload" ? decodeContent(entry.body.value)?.kind : undefined;
  switch (kind?.case) {
    case "text":
      return { kind: "text", text: kind.value.text, replyTo: kind.value.replyTo };
    case "reaction":
      if (!kind.value.target) break;
      return { kind: "reaction", emoji: kind.value.emoji, target: kind.value.target };
    case "edit":
      if (!kind.value.target) break;
      return { kind: "edit", text: kind.value.text?.text ?? "", target: kind.value.target };
    case "deletion":
      if (!kind.value.target) break;
      return { kind: "deletion", target: kind.value.target };
  }
  return { kind: "unsupported" };
}

/** One line of a conversation as it is now, for history. */
export function viewLine(
  message: ViewMessage,
  name: (userId: string) => string,
  style: Style,
): string {
  const head = style.dim(`#${message.seq} ${clockTime(message.acceptTimeMs)}`);
  const sender = style.name(name(message.senderUserId));
  if (message.change) return `${head} ${style.dim(`— ${changeText(message.change, name)}`)}`;
  if (message.kind === "deleted") return `${head} ${sender}: ${style.dim("(deleted)")}`;
  if (message.kind === "unsupported") return `${head} ${sender}: ${style.dim(UNSUPPORTED)}`;
  const reply = message.replyTo ? style.dim(`(to #${message.replyTo.seq}) `) : "";
  const edited = message.edited ? style.dim(" (edited)") : "";
  const reactions = message.reactions.map(
    ({ emoji, userIds }) => `${excerpt(emoji, 8)} ${userIds.length}`,
  );
  const tail = reactions.length === 0 ? "" : style.dim(`  [${reactions.join("  ")}]`);
  return `${head} ${sender}: ${reply}${indented(message.text)}${edited}${tail}`;
}

export const UNSUPPORTED = "(not supported by this version)";

/** Words of several lines, the later ones set in. */
export function indented(text: string): string {
  return safeText(text).replaceAll("\n", "\n    ");
}
