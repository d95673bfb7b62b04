import { requireDevice } from "@parley/platform/rpc/caller";
import type { InviteStore } from "../conversation-ports.ts";
import { admitToInvites } from "../domain/conversation-invite.ts";
import { type ConversationHandlers, refusalError } from "./conversation-handler.ts";

type Deps = { readonly invites: Pick<InviteStore, "revokeInvite"> };

/** `ConversationService.RevokeInviteLink` */
export function createRevokeInviteLink(deps: Deps): ConversationHandlers["revokeInviteLink"] {
  return async ({ conversationId, inviteCode }, context) => {
    const { userId } = requireDevice(context);
    const revoked = await deps.invites.revokeInvite(
      conversationId,
      userId,
      inviteCode,
      (snapshot) => admitToInvites(snapshot, userId),
    );
    if (revoked.kind === "refused") throw refusalError(revoked.refusal);
    return {};
  };
}
