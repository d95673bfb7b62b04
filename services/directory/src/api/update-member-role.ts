import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Clock } from "@parley/platform/clock";
import { invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { ChangeRelay, ConversationStore } from "../conversation-ports.ts";
import { updateMemberRole } from "../domain/conversation-settings.ts";
import { answerConversation } from "./conversation-answer.ts";
import { type ConversationHandlers, finishChange } from "./conversation-handler.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "change" | "read">;
  readonly relay: ChangeRelay;
  readonly clock: Clock;
};

/** `ConversationService.UpdateMemberRole` */
export function createUpdateMemberRole(deps: Deps): ConversationHandlers["updateMemberRole"] {
  const { conversations, relay, clock } = deps;
  return async ({ conversationId, userId, role: wanted }, context) => {
    const { userId: actorUserId } = requireDevice(context);
    if (userId === actorUserId) {
      throw invalidArgument("user_id", "Nobody changes their own role.");
    }
    const role = Object.values(Role).find((known) => known === wanted);
    if (role === undefined) throw invalidArgument("role", "There is no such role.");
    const reads = { userIds: [actorUserId, userId] };
    const outcome = await conversations.change(conversationId, reads, (snapshot) =>
      updateMemberRole(snapshot, { actorUserId, userId, role, nowMs: clock.nowMs() }),
    );
    await finishChange(relay, outcome, context);
    return await answerConversation(conversations, conversationId, actorUserId);
  };
}
