import type { Clock } from "@parley/platform/clock";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { ChangeRelay, ConversationStore, InviteStore } from "../conversation-ports.ts";
import { joinByInvite } from "../domain/conversation-membership.ts";
import { answerConversation } from "./conversation-answer.ts";
import {
  type ConversationHandlers,
  type ConversationLimitsConfig,
  finishChange,
} from "./conversation-handler.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "read">;
  readonly invites: Pick<InviteStore, "joinByInvite">;
  readonly relay: ChangeRelay;
  readonly clock: Clock;
  readonly limits: Pick<ConversationLimitsConfig, "groupMembersMax">;
};

/** `ConversationService.JoinByInvite` */
export function createJoinByInvite(deps: Deps): ConversationHandlers["joinByInvite"] {
  const { conversations, invites, relay, clock, limits } = deps;
  return async ({ inviteCode }, context) => {
    const { userId: actorUserId } = requireDevice(context);
    const outcome = await invites.joinByInvite(inviteCode, actorUserId, (snapshot, invite) =>
      joinByInvite(snapshot, {
        actorUserId,
        invite,
        membersMax: limits.groupMembersMax,
        nowMs: clock.nowMs(),
      }),
    );
    const conversationId = await finishChange(relay, outcome, context);
    return await answerConversation(conversations, conversationId, actorUserId);
  };
}
