import type { Clock } from "@parley/platform/clock";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { ChangeRelay, ConversationStore } from "../conversation-ports.ts";
import { leaveConversation } from "../domain/conversation-membership.ts";
import { type ConversationHandlers, finishChange } from "./conversation-handler.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "change">;
  readonly relay: ChangeRelay;
  readonly clock: Clock;
};

/** `ConversationService.LeaveConversation` */
export function createLeaveConversation(deps: Deps): ConversationHandlers["leaveConversation"] {
  const { conversations, relay, clock } = deps;
  return async ({ conversationId }, context) => {
    const { userId: actorUserId } = requireDevice(context);
    const reads = { userIds: [actorUserId], heirOf: actorUserId };
    const outcome = await conversations.change(conversationId, reads, (snapshot) =>
      leaveConversation(snapshot, { actorUserId, nowMs: clock.nowMs() }),
    );
    await finishChange(relay, outcome, context);
    return {};
  };
}
