/** Commands about conversations and people: list, open, block, mute. */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ConversationKind,
  type Conversation as Description,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { excerpt, wordsOf } from "./format.ts";
import { present, type SlashCommand, type SlashContext, slashFailure } from "./slash-context.ts";
import { openTarget } from "./targets.ts";

/** Conversations that `/list` shows. */
const LIST_MAX = 30;
/** "Always", as the contract writes it. */
const ALWAYS_MS = Date.UTC(9999, 11, 31);
const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

export const conversationCommands: Readonly<Record<string, SlashCommand>> = {
  list: {
    usage: "/list",
    summary: "show your conversations, the newest first, with what is unread",
    async run(_rest, context) {
      const lines = await listLines(context);
      if (lines.length === 0) context.print("  Nothing yet. /open NAME begins.");
      for (const line of lines) context.print(line);
      return undefined;
    },
  },
  open: {
    usage: "/open NAME | /open ID",
    summary: "open the conversation with a person, or one by its id or title",
    async run(rest, context) {
      if (rest === "") throw slashFailure("Open what?", "Use /open NAME, or /list to see yours.");
      const { client, people } = context;
      const id = await conversationIdOf(rest, context);
      const target = id
        ? ({ kind: "conversation", id } as const)
        : ({ kind: "person", username: rest } as const);
      await context.open(await openTarget(target, client, people));
      return undefined;
    },
  },
  block: {
    usage: "/block NAME",
    summary: "take no more messages from a person",
    async run(rest, { client, people, print }) {
      await client.contacts.blockUser({ userId: await people.find(rest) });
      print(`  ${rest} is blocked.`);
      return undefined;
    },
  },
  unblock: {
    usage: "/unblock NAME",
    summary: "take messages from a person again",
    async run(rest, { client, people, print }) {
      await client.contacts.unblockUser({ userId: await people.find(rest) });
      print(`  ${rest} is no longer blocked.`);
      return undefined;
    },
  },
  contact: {
    usage: "/contact NAME",
    summary: "add a person to your contacts; mutual contacts see each other online",
    async run(rest, { client, people, print }) {
      await client.contacts.addContact({ userId: await people.find(rest) });
      print(`  ${rest} is a contact of yours.`);
      return undefined;
    },
  },
  mute: {
    usage: "/mute [30m | 8h | 7d | off]",
    summary: "silence this conversation for a time, for always, or no longer",
    async run(rest, context) {
      const conversationId = present(context).id;
      if (rest === "off") {
        await context.client.conversations.updatePreferences({ conversationId });
        context.print("  No longer muted.");
        return undefined;
      }
      const [, count, unit = ""] = /^(\d{1,4})([mhd])$/.exec(rest) ?? [];
      if (rest !== "" && count === undefined) {
        throw slashFailure(`"${rest}" is no time.`, "Use 30m, 8h, 7d, or off.");
      }
      const untilMs = rest === "" ? ALWAYS_MS : Date.now() + Number(count) * (UNITS_MS[unit] ?? 0);
      await context.client.conversations.updatePreferences({
        conversationId,
        muteUntilTime: timestampFromMs(untilMs),
      });
      context.print(rest === "" ? "  Muted for always." : `  Muted for ${rest}.`);
      return undefined;
    },
  },
};

const ID_PATTERN = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The id that is meant: an id itself, or the title of one of the person's groups. */
async function conversationIdOf(
  text: string,
  { client }: SlashContext,
): Promise<string | undefined> {
  if (ID_PATTERN.test(text)) return text.toLowerCase();
  const wanted = text.toLowerCase();
  const descriptions = await describeInbox(client);
  return descriptions.find(({ title }) => title.toLowerCase() === wanted)?.conversationId;
}

async function describeInbox(client: SlashContext["client"]): Promise<Description[]> {
  const descriptions: Description[] = [];
  for await (const { conversationId } of client.listInbox()) {
    if (descriptions.length === LIST_MAX) break;
    const answer = await client.conversations
      .getConversation({ conversationId })
      .catch(() => undefined);
    if (answer?.conversation) descriptions.push(answer.conversation);
  }
  return descriptions;
}

/** The name of a conversation as its member knows it. */
export function titleOf(description: Description, name: (userId: string) => string): string {
  if (description.kind === ConversationKind.DIRECT) return name(description.peerUserId);
  return excerpt(description.title);
}

async function listLines({ client, people, style }: SlashContext): Promise<string[]> {
  const lines: string[] = [];
  for await (const entry of client.listInbox()) {
    if (lines.length === LIST_MAX) break;
    const { conversationId, lastMessage, unreadCount } = entry;
    const answer = await client.conversations
      .getConversation({ conversationId })
      .catch(() => undefined);
    if (!answer?.conversation) continue;
    await people.learn([answer.conversation.peerUserId, lastMessage?.senderUserId ?? ""]);
    const title = style.bold(titleOf(answer.conversation, people.name));
    const unread = unreadCount === 0n ? "" : style.warn(` (${unreadCount} unread)`);
    const words = lastMessage ? wordsOf(lastMessage) : undefined;
    const preview =
      words?.kind === "text"
        ? style.dim(`  ${people.name(lastMessage?.senderUserId ?? "")}: ${excerpt(words.text)}`)
        : "";
    const kind =
      answer.conversation.kind === ConversationKind.GROUP ? style.dim(`  ${conversationId}`) : "";
    lines.push(`  ${title}${unread}${preview}${kind}${entry.member ? "" : style.dim("  (left)")}`);
  }
  return lines;
}
