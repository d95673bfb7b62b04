import { requireDevice } from "@parley/platform/rpc/caller";
import type { ConversationStore, ConversationView } from "../conversation-ports.ts";
import { toConversationMessage } from "./conversation-answer.ts";
import { type ConversationHandlers, pageLimit } from "./conversation-handler.ts";
import { decodeMembershipPlace, encodeMembershipPlace } from "./conversation-page-token.ts";

type Deps = { readonly conversations: Pick<ConversationStore, "listByMember"> };

/** `ConversationService.ListConversations` */
export function createListConversations(deps: Deps): ConversationHandlers["listConversations"] {
  return async ({ pageSize, pageToken }, context) => {
    const { userId } = requireDevice(context);
    const limit = pageLimit(pageSize);
    const after = decodeMembershipPlace(pageToken);
    const views = await deps.conversations.listByMember(userId, { after, limit });
    return {
      conversations: views.map((view) => toConversationMessage(view, userId)),
      nextPageToken: views.length < limit ? "" : nextToken(views.at(-1)),
    };
  };
}

function nextToken(last: ConversationView | undefined): string {
  if (last?.membership === undefined) return "";
  const { conversationId } = last.conversation;
  return encodeMembershipPlace({ joinTimeMs: last.membership.joinTimeMs, conversationId });
}
