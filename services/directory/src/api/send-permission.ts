/** Keeps who may write in a direct conversation in step with who blocks whom. */
import type { Clock } from "@parley/platform/clock";
import type { ChangeOutcome, ConversationStore, People } from "../conversation-ports.ts";
import { updateSendPermission } from "../domain/conversation-settings.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "change">;
  readonly people: Pick<People, "blocksBetween">;
  readonly clock: Clock;
};

/** Each round means that a block changed while the round before was written; a person clicks slower than that. */
const ROUNDS_MAX = 5;

/**
 * Sets both permissions as the blocks say, and looks again after every change: of several calls at once,
 * the one that writes last has then seen the newest blocks, so a late writer cannot leave an old state.
 * Refused with `CONVERSATION_NOT_FOUND` if there is no such direct conversation.
 */
export async function reconcileSendPermissions(
  deps: Deps,
  conversationId: string,
  [first, second]: readonly [string, string],
): Promise<ChangeOutcome> {
  for (let round = 1; ; round++) {
    const blocks = await deps.people.blocksBetween(first, [second]);
    const blocked = new Set(blocks.map(({ blockedUserId }) => blockedUserId));
    const set = (actorUserId: string, userId: string) =>
      deps.conversations.change(conversationId, { userIds: [userId] }, (snapshot) =>
        updateSendPermission(snapshot, {
          actorUserId,
          userId,
          maySend: !blocked.has(userId),
          nowMs: deps.clock.nowMs(),
        }),
      );
    const forward = await set(first, second);
    if (forward.kind === "refused") return forward;
    const backward = await set(second, first);
    if (backward.kind === "refused") return backward;
    if (!forward.changed && !backward.changed) return backward;
    if (round === ROUNDS_MAX) return backward;
  }
}
