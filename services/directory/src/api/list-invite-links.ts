import type { Clock } from "@parley/platform/clock";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { InviteStore } from "../conversation-ports.ts";
import { admitToInvites } from "../domain/conversation-invite.ts";
import { toInviteLinkMessage } from "./conversation-answer.ts";
import { type ConversationHandlers, refusalError } from "./conversation-handler.ts";

type Deps = { readonly invites: Pick<InviteStore, "listInvites">; readonly clock: Clock };

/** `ConversationService.ListInviteLinks` */
export function createListInviteLinks(deps: Deps): ConversationHandlers["listInviteLinks"] {
  const { invites, clock } = deps;
  return async ({ conversationId }, context) => {
    const { userId } = requireDevice(context);
    const listed = await invites.listInvites(conversationId, userId, clock.nowMs(), (snapshot) =>
      admitToInvites(snapshot, userId),
    );
    if (listed.kind === "refused") throw refusalError(listed.refusal);
    return { inviteLinks: listed.invites.map(toInviteLinkMessage) };
  };
}
