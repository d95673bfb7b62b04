import { requireDevice } from "@parley/platform/rpc/caller";
import type { ConversationStore } from "../conversation-ports.ts";
import { isMember } from "../domain/conversation.ts";
import { toMemberMessage } from "./conversation-answer.ts";
import { type ConversationHandlers, pageLimit, refusalError } from "./conversation-handler.ts";
import { decodeMemberPlace, encodeMemberPlace } from "./conversation-page-token.ts";

type Deps = { readonly conversations: Pick<ConversationStore, "listMembers"> };

/** `ConversationService.ListMembers` */
export function createListMembers(deps: Deps): ConversationHandlers["listMembers"] {
  return async ({ conversationId, pageSize, pageToken }, context) => {
    const { userId } = requireDevice(context);
    const limit = pageLimit(pageSize);
    const after = decodeMemberPlace(pageToken);
    const page = await deps.conversations.listMembers(conversationId, userId, { after, limit });
    if (page === undefined || !isMember(page.view.membership)) {
      throw refusalError({ reason: "CONVERSATION_NOT_FOUND" });
    }
    const last = page.members.length < limit ? undefined : page.members.at(-1);
    return {
      members: page.members.map(toMemberMessage),
      nextPageToken: last === undefined ? "" : encodeMemberPlace(last),
      membershipVersion: BigInt(page.view.conversation.membershipVersion),
    };
  };
}
