/** Makes a block, or its end, count in the direct conversation of the two. */
import type { Clock } from "@parley/platform/clock";
import type { ChangeOutcome, ConversationStore } from "../conversation-ports.ts";
import { directConversationId } from "../domain/conversation-creation.ts";
import { updateSendPermission } from "../domain/conversation-settings.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "changeByBlocks">;
  readonly clock: Clock;
};

/**
 * Lets the person write if nothing blocks them by now, or not. Refused with `CONVERSATION_NOT_FOUND` if the
 * two have no direct conversation.
 */
export function applyBlock(
  { conversations, clock }: Deps,
  blockerUserId: string,
  blockedUserId: string,
): Promise<ChangeOutcome> {
  const pair = [blockerUserId, blockedUserId] as const;
  return conversations.changeByBlocks(directConversationId(pair), pair, (snapshot, blocks) =>
    updateSendPermission(snapshot, {
      actorUserId: blockerUserId,
      userId: blockedUserId,
      maySend: !blocks.some((block) => block.blockedUserId === blockedUserId),
      nowMs: clock.nowMs(),
    }),
  );
}
