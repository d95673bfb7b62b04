import type { CreateGroupRequest } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import type { Clock } from "@parley/platform/clock";
import { newUuid } from "@parley/platform/ids";
import { requireDevice } from "@parley/platform/rpc/caller";
import type {
  ChangeOutcome,
  ChangeRelay,
  ConversationStore,
  CreationRequest,
  People,
} from "../conversation-ports.ts";
import { createGroup } from "../domain/conversation-creation.ts";
import { answerConversation } from "./conversation-answer.ts";
import {
  type ConversationHandlers,
  type ConversationLimitsConfig,
  chooseEncryptionMode,
  finishChange,
  lookUpPeople,
} from "./conversation-handler.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "createGroup" | "findCreation" | "read">;
  readonly people: People;
  readonly relay: ChangeRelay;
  readonly clock: Clock;
  readonly limits: Pick<ConversationLimitsConfig, "encryptionModes" | "groupMembersMax">;
};

/** How long a request is remembered, in ms; the contract's 24 hours. */
const REQUEST_REMEMBERED_MS = 24 * 60 * 60 * 1000;

/** `ConversationService.CreateGroup` */
export function createCreateGroup(deps: Deps): ConversationHandlers["createGroup"] {
  const { conversations, relay, clock } = deps;
  return async (request, context) => {
    const { userId } = requireDevice(context);
    const key: CreationRequest = {
      userId,
      requestId: request.requestId,
      rememberedSinceMs: clock.nowMs() - REQUEST_REMEMBERED_MS,
    };
    const outcome =
      (await conversations.findCreation(key)) ?? (await begin(deps, userId, request, key));
    const conversationId = await finishChange(relay, outcome, context);
    return await answerConversation(conversations, conversationId, userId);
  };
}

async function begin(
  { conversations, people, clock, limits }: Deps,
  actorUserId: string,
  request: CreateGroupRequest,
  key: CreationRequest,
): Promise<ChangeOutcome> {
  const encryptionMode = chooseEncryptionMode(request.encryptionMode, limits);
  const nowMs = clock.nowMs();
  const decision = createGroup({
    conversationId: newUuid(nowMs),
    actorUserId,
    userIds: request.userIds,
    facts: await lookUpPeople(people, actorUserId, request.userIds),
    title: request.title,
    encryptionMode,
    membersMax: limits.groupMembersMax,
    nowMs,
  });
  return decision.kind === "refused" ? decision : await conversations.createGroup(decision, key);
}
