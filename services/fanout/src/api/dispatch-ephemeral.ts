import type { ServiceImpl } from "@connectrpc/connect";
import type { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { permissionDenied } from "@parley/platform/errors";
import type { InboxStore } from "../ports.ts";

type Dependencies = {
  readonly store: Pick<InboxStore, "readConversation">;
  readonly deliverEphemeral: (event: Uint8Array, userIds: readonly string[]) => Promise<unknown>;
};

/** Above this many members nobody could read who types, and each notice would cost a whole delivery. */
const MEMBERS_MAX = 64;

/** Passes an ephemeral event on to the other members of a small conversation. */
export function createDispatchEphemeral({
  store,
  deliverEphemeral,
}: Dependencies): ServiceImpl<typeof FanoutService>["dispatchEphemeral"] {
  return async ({ conversationId, authorUserId, event }) => {
    const conversation = await store.readConversation(conversationId);
    const members = conversation?.members.userIds ?? [];
    if (!members.includes(authorUserId)) {
      throw permissionDenied("NOT_A_MEMBER", "Only members of the conversation may do this.");
    }
    const others = members.filter((userId) => userId !== authorUserId);
    if (members.length <= MEMBERS_MAX && others.length > 0) await deliverEphemeral(event, others);
    return {};
  };
}
