import type { Clock } from "@parley/platform/clock";
import { invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { ChangeRelay, ConversationStore } from "../conversation-ports.ts";
import { removeMember } from "../domain/conversation-membership.ts";
import { answerConversation } from "./conversation-answer.ts";
import { type ConversationHandlers, finishChange } from "./conversation-handler.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "change" | "read">;
  readonly relay: ChangeRelay;
  readonly clock: Clock;
};

/** `ConversationService.RemoveMember` */
export function createRemoveMember(deps: Deps): ConversationHandlers["removeMember"] {
  const { conversations, relay, clock } = deps;
  return async ({ conversationId, userId }, context) => {
    const { userId: actorUserId } = requireDevice(context);
    if (userId === actorUserId) {
      throw invalidArgument("user_id", "One leaves with LeaveConversation.");
    }
    const reads = { userIds: [actorUserId, userId] };
    const outcome = await conversations.change(conversationId, reads, (snapshot) =>
      removeMember(snapshot, { actorUserId, userId, nowMs: clock.nowMs() }),
    );
    await finishChange(relay, outcome, context);
    return await answerConversation(conversations, conversationId, actorUserId);
  };
}
