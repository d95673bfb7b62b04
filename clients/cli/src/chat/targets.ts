/** From "with whom" to a conversation. */
import type { Conversation, ParleyClient } from "@parley/sdk";
import { usageFailure } from "../failure.ts";
import type { Target } from "./options.ts";
import type { People } from "./people.ts";

const UUID_PATTERN = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @throws CliFailure or ParleyError, for example when nobody has the name. */
export async function openTarget(
  target: Target,
  client: ParleyClient,
  people: People,
): Promise<Conversation> {
  switch (target.kind) {
    case "person":
      return client.openDirect(await people.find(target.username));
    case "group": {
      const members: string[] = [];
      for (const name of target.members) members.push(await people.find(name));
      return client.createGroup(target.title, members);
    }
    case "conversation": {
      if (!UUID_PATTERN.test(target.id)) {
        throw usageFailure(`"${target.id}" is no conversation id.`, "chat");
      }
      await client.conversations.getConversation({ conversationId: target.id });
      return client.conversation(target.id);
    }
  }
}
