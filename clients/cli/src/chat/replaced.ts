/** Tells that the server was put back from an older copy, and keeps what only this device still has. */
import { appendFile } from "node:fs/promises";
import type { ParleyClient, ReplacedConversation } from "@parley/sdk";
import { messageEvent } from "./json-events.ts";
import type { People } from "./people.ts";
import { titleOf } from "./slash-conversations.ts";

export type ReplacedTeller = {
  /** Resolves when everything up to now was told and kept. */
  settled(): Promise<void>;
};

/** Starts telling, one line per conversation, until the client is closed. */
export function tellReplaced(options: {
  readonly client: ParleyClient;
  readonly people: People;
  /** Where lost messages are kept, one JSON object per line as `--json` prints them. */
  readonly lostFile: string | undefined;
  readonly print: (line: string) => void;
}): ReplacedTeller {
  const { client, print } = options;
  let telling: Promise<void> = Promise.resolve();
  client.on("conversationReplaced", (event) => {
    telling = telling.then(async () => print(await replacedLine(event, options)));
  });
  return { settled: () => telling };
}

async function replacedLine(
  { conversationId, entries }: ReplacedConversation,
  options: Parameters<typeof tellReplaced>[0],
): Promise<string> {
  const { client, people, lostFile } = options;
  const { conversation } = await client.conversations
    .getConversation({ conversationId })
    .catch(() => ({ conversation: undefined }));
  const senders = entries.map((entry) => entry.senderUserId);
  await people.learn([...senders, conversation?.peerUserId ?? ""]);
  const title = conversation ? titleOf(conversation, people.name) : conversationId;
  const happened = "⚠ The server was put back from an older copy";
  const count = entries.filter((entry) => entry.body.case === "payload").length;
  if (count === 0) return `${happened}; nothing of ${title} that is here was lost.`;
  const lost = `${happened} and lost ${count} ${count === 1 ? "message" : "messages"} of ${title}`;
  if (lostFile === undefined) return `${lost}.`;
  const lines = entries.map((entry) => `${JSON.stringify(messageEvent(entry, people))}\n`);
  try {
    await appendFile(lostFile, lines.join(""), { mode: 0o600 });
    return `${lost}; they are kept in ${lostFile}.`;
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    return `${lost}; they could not be kept: ${cause}`;
  }
}
