import type { Clock } from "@parley/platform/clock";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { ConversationStore, InviteStore } from "../conversation-ports.ts";
import { isMember } from "../domain/conversation.ts";
import { isInviteLive } from "../domain/conversation-invite.ts";
import { type ConversationHandlers, refusalError } from "./conversation-handler.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "read">;
  readonly invites: Pick<InviteStore, "readInvite">;
  readonly clock: Clock;
};

/** `ConversationService.GetInvitePreview` */
export function createGetInvitePreview(deps: Deps): ConversationHandlers["getInvitePreview"] {
  const { conversations, invites, clock } = deps;
  return async ({ inviteCode }, context) => {
    const { userId } = requireDevice(context);
    const invite = await invites.readInvite(inviteCode);
    if (invite === undefined || !isInviteLive(invite, clock.nowMs())) throw inviteNotFound();
    const view = await conversations.read(invite.conversationId, userId);
    if (view === undefined || view.conversation.memberCount === 0) throw inviteNotFound();
    const { conversationId, title, memberCount, encryptionMode } = view.conversation;
    const alreadyMember = isMember(view.membership);
    return { conversationId, title, memberCount, encryptionMode, alreadyMember };
  };
}

function inviteNotFound() {
  return refusalError({ reason: "INVITE_NOT_FOUND" });
}
