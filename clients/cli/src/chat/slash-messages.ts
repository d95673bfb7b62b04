/** Commands about messages: history, replies, reactions, edits, deletions. */
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import {
  type Conversation,
  type EntryReference,
  emptyView,
  type ParleyClient,
  reduceView,
  type ViewMessage,
} from "@parley/sdk";
import { roleName, viewLine } from "./format.ts";
import { present, type SlashCommand, type SlashContext, slashFailure } from "./slash-context.ts";

const HISTORY_DEFAULT = 20;
const HISTORY_MAX = 200;
/** What the contract takes in one call. */
const PRESENCE_BATCH_MAX = 100;
/** Where a message is looked for that is named by its number. */
const SEARCH_COUNT = 200;

export const messageCommands: Readonly<Record<string, SlashCommand>> = {
  history: {
    usage: "/history [COUNT]",
    summary: "show the newest messages",
    async run(rest, context) {
      const count = rest === "" ? HISTORY_DEFAULT : Number(rest);
      if (!Number.isInteger(count) || count < 1 || count > HISTORY_MAX) {
        throw slashFailure(`"${rest}" is no count.`, `Use a number from 1 to ${HISTORY_MAX}.`);
      }
      const viewer = await present(context).open({ count });
      viewer.close();
      const { messages } = viewer.view;
      await context.people.learn(messages.map((message) => message.senderUserId));
      for (const message of messages)
        context.print(viewLine(message, context.people.name, context.style));
      return undefined;
    },
  },
  reply: {
    usage: "/reply NUMBER TEXT",
    summary: "answer the message with this number",
    async run(rest, context) {
      const { reference, text } = await numbered(rest, context, "TEXT");
      return { sent: present(context).send({ text, replyTo: reference }) };
    },
  },
  react: {
    usage: "/react NUMBER [EMOJI]",
    summary: "react to a message; without an emoji, take the reaction back",
    async run(rest, context) {
      const { reference, text } = await numbered(rest, context);
      return { sent: present(context).react(reference, text) };
    },
  },
  edit: {
    usage: "/edit NUMBER TEXT",
    summary: "give one of your messages new words",
    async run(rest, context) {
      const { reference, text } = await numbered(rest, context, "TEXT");
      own(reference, context, "edit");
      return { sent: present(context).edit(reference, text) };
    },
  },
  delete: {
    usage: "/delete NUMBER",
    summary: "take one of your messages back",
    async run(rest, context) {
      const { reference } = await numbered(rest, context);
      own(reference, context, "delete");
      return { sent: present(context).delete(reference) };
    },
  },
  who: {
    usage: "/who",
    summary: "show who is in this conversation and who is online",
    async run(_rest, context) {
      const { client, people, style, print } = context;
      const conversation = present(context);
      const members = await conversation.members();
      const userIds = members.map((member) => member.userId);
      await people.learn(userIds);
      const onlineIds = await whoIsOnline(client, userIds, conversation.id);
      for (const { userId, role } of members) {
        const online = onlineIds.has(userId);
        const self = userId === client.account?.userId;
        const mark = online || self ? "●" : "○";
        const note = role === Role.MEMBER ? "" : style.dim(` (${roleName(role)})`);
        print(`  ${mark} ${people.name(userId)}${self ? style.dim(" (you)") : ""}${note}`);
      }
      return undefined;
    },
  },
};

/** Those who are online as far as this person may see. */
async function whoIsOnline(
  client: ParleyClient,
  userIds: readonly string[],
  conversationId: string,
): Promise<ReadonlySet<string>> {
  const online = new Set<string>();
  for (let start = 0; start < userIds.length; start += PRESENCE_BATCH_MAX) {
    const batch = userIds.slice(start, start + PRESENCE_BATCH_MAX);
    const answer = await client.presences.batchGetPresence({ userIds: batch, conversationId });
    for (const { userId, status } of answer.presences) {
      if (status === PresenceStatus.ONLINE) online.add(userId);
    }
  }
  return online;
}

/** Splits "12 words" and finds message 12. */
async function numbered(
  rest: string,
  context: SlashContext,
  wanted?: "TEXT",
): Promise<{ readonly reference: ViewMessage; readonly text: string }> {
  const [, number = "", text = ""] = /^#?(\d{1,18})(?:\s+([\s\S]*))?$/.exec(rest) ?? [];
  if (number === "") {
    throw slashFailure(
      "This needs the number of a message.",
      "The numbers are before the names, like #12.",
    );
  }
  if (wanted && text === "")
    throw slashFailure("Words are missing.", "Write them after the number.");
  return { reference: await find(present(context), BigInt(number)), text };
}

async function find(conversation: Conversation, seq: bigint): Promise<ViewMessage> {
  const viewer = await conversation.open({ count: SEARCH_COUNT });
  viewer.close();
  let found = viewer.view.messages.find((message) => message.seq === seq);
  if (!found && seq > 0n && seq <= conversation.position) {
    found = await findFarBack(conversation, seq);
  }
  if (found && found.kind !== "change") return found;
  throw slashFailure(`There is no message #${seq} here.`, "Use /history to see the numbers.");
}

async function findFarBack(
  conversation: Conversation,
  seq: bigint,
): Promise<ViewMessage | undefined> {
  const page = await conversation.history({ before: seq + 1n, count: 1 });
  return reduceView(emptyView, page.entries).messages.find((message) => message.seq === seq);
}

function own(
  reference: EntryReference & { readonly senderUserId: string },
  context: SlashContext,
  verb: string,
): void {
  if (reference.senderUserId === context.client.account?.userId) return;
  throw slashFailure(
    `Message #${reference.seq} is not yours.`,
    `You can ${verb} your own messages only.`,
  );
}
