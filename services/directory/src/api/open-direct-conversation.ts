import type { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Clock } from "@parley/platform/clock";
import { invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type {
  ChangeOutcome,
  ChangeRelay,
  ConversationStore,
  ConversationView,
  People,
} from "../conversation-ports.ts";
import { directConversationId, openDirect } from "../domain/conversation-creation.ts";
import { answerConversation } from "./conversation-answer.ts";
import {
  type ConversationHandlers,
  type ConversationLimitsConfig,
  chooseEncryptionMode,
  finishChange,
} from "./conversation-handler.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "createDirect" | "read">;
  readonly people: People;
  readonly relay: ChangeRelay;
  readonly clock: Clock;
  readonly limits: Pick<ConversationLimitsConfig, "encryptionModes">;
};

/** `ConversationService.OpenDirectConversation` */
export function createOpenDirectConversation(
  deps: Deps,
): ConversationHandlers["openDirectConversation"] {
  return async (request, context) => {
    const { userId: actorUserId } = requireDevice(context);
    const { userId } = request;
    if (userId === actorUserId) {
      throw invalidArgument("user_id", "A direct conversation is with somebody else.");
    }
    const conversationId = directConversationId([actorUserId, userId]);
    const existing = await deps.conversations.read(conversationId, actorUserId);
    const outcome = existing
      ? repeated(existing)
      : await begin(deps, actorUserId, userId, request.encryptionMode);
    await finishChange(deps.relay, outcome, context);
    return await answerConversation(deps.conversations, conversationId, actorUserId);
  };
}

/** It exists; its first change may still be on its way. */
function repeated({ conversation }: ConversationView): ChangeOutcome {
  const { conversationId, membershipVersion } = conversation;
  return { kind: "done", conversationId, membershipVersion, changed: false };
}

async function begin(
  { conversations, people, clock, limits }: Deps,
  actorUserId: string,
  userId: string,
  wantedMode: EncryptionMode,
): Promise<ChangeOutcome> {
  const encryptionMode = chooseEncryptionMode(wantedMode, limits);
  const [existing, blocks] = await Promise.all([
    people.existingUserIds([userId]),
    people.blocksBetween(actorUserId, [userId]),
  ]);
  const decision = openDirect({
    actorUserId,
    userId,
    known: existing.has(userId),
    blocked: blocks.length > 0,
    encryptionMode,
    nowMs: clock.nowMs(),
  });
  return decision.kind === "refused" ? decision : await conversations.createDirect(decision);
}
