import type { Clock } from "@parley/platform/clock";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { ChangeRelay, ConversationStore, People } from "../conversation-ports.ts";
import { addMembers } from "../domain/conversation-membership.ts";
import { answerConversation } from "./conversation-answer.ts";
import {
  type ConversationHandlers,
  type ConversationLimitsConfig,
  finishChange,
  lookUpPeople,
} from "./conversation-handler.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "change" | "read">;
  readonly people: People;
  readonly relay: ChangeRelay;
  readonly clock: Clock;
  readonly limits: Pick<ConversationLimitsConfig, "groupMembersMax">;
};

/** `ConversationService.AddMembers` */
export function createAddMembers(deps: Deps): ConversationHandlers["addMembers"] {
  const { conversations, people, relay, clock, limits } = deps;
  return async ({ conversationId, userIds }, context) => {
    const { userId: actorUserId } = requireDevice(context);
    const facts = await lookUpPeople(people, actorUserId, userIds);
    const reads = { userIds: [actorUserId, ...userIds] };
    const outcome = await conversations.change(conversationId, reads, (snapshot) =>
      addMembers(snapshot, {
        actorUserId,
        userIds,
        facts,
        membersMax: limits.groupMembersMax,
        nowMs: clock.nowMs(),
      }),
    );
    await finishChange(relay, outcome, context);
    return await answerConversation(conversations, conversationId, actorUserId);
  };
}
