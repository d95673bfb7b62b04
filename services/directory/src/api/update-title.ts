import type { Clock } from "@parley/platform/clock";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { ChangeRelay, ConversationStore } from "../conversation-ports.ts";
import { updateTitle } from "../domain/conversation-settings.ts";
import { answerConversation } from "./conversation-answer.ts";
import { type ConversationHandlers, finishChange } from "./conversation-handler.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "change" | "read">;
  readonly relay: ChangeRelay;
  readonly clock: Clock;
};

/** `ConversationService.UpdateTitle` */
export function createUpdateTitle(deps: Deps): ConversationHandlers["updateTitle"] {
  const { conversations, relay, clock } = deps;
  return async ({ conversationId, title }, context) => {
    const { userId: actorUserId } = requireDevice(context);
    const reads = { userIds: [actorUserId] };
    const outcome = await conversations.change(conversationId, reads, (snapshot) =>
      updateTitle(snapshot, { actorUserId, title, nowMs: clock.nowMs() }),
    );
    await finishChange(relay, outcome, context);
    return await answerConversation(conversations, conversationId, actorUserId);
  };
}
