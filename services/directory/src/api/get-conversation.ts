import { requireDevice } from "@parley/platform/rpc/caller";
import type { ConversationStore } from "../conversation-ports.ts";
import { answerConversation } from "./conversation-answer.ts";
import type { ConversationHandlers } from "./conversation-handler.ts";

type Deps = { readonly conversations: Pick<ConversationStore, "read"> };

/** `ConversationService.GetConversation` */
export function createGetConversation(deps: Deps): ConversationHandlers["getConversation"] {
  return async ({ conversationId }, context) => {
    const { userId } = requireDevice(context);
    return await answerConversation(deps.conversations, conversationId, userId);
  };
}
