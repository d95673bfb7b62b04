import type { Client, ServiceImpl } from "@connectrpc/connect";
import type { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import type { PresenceService } from "@parley/gen/parley/presence/v1/presence_service_pb";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { PresenceState } from "../domain/presence-rules.ts";
import type { SessionRegistry } from "../ports.ts";
import { toPresence } from "./to-presence.ts";

type Dependencies = {
  readonly registry: Pick<SessionRegistry, "read">;
  readonly directory: Pick<Client<typeof DirectoryService>, "filterVisiblePresence">;
};

/** Reads people's presence as far as the directory lets the caller see it. */
export function createBatchGetPresence({
  registry,
  directory,
}: Dependencies): ServiceImpl<typeof PresenceService>["batchGetPresence"] {
  return async ({ userIds, conversationId }, context) => {
    const { userId } = requireDevice(context);
    const visible = await findVisible(directory, userId, userIds, conversationId);
    const states = await registry.read(userIds.filter((id) => visible.has(id)));
    return { presences: inOrder(userIds, states).map(toPresence) };
  };
}

async function findVisible(
  directory: Dependencies["directory"],
  viewerUserId: string,
  userIds: readonly string[],
  conversationId: string,
): Promise<ReadonlySet<string>> {
  const others = [...new Set(userIds)].filter((userId) => userId !== viewerUserId);
  // People may always see themselves.
  if (others.length === 0) return new Set([viewerUserId]);
  const request = { viewerUserId, userIds: others, conversationId };
  const { visibleUserIds } = await directory.filterVisiblePresence(request);
  return new Set([viewerUserId, ...visibleUserIds]);
}

/** One state per person asked for; who was not read is unknown to the asker. */
function inOrder(userIds: readonly string[], states: readonly PresenceState[]): PresenceState[] {
  const byUser = new Map(states.map((state) => [state.userId, state]));
  return userIds.map(
    (userId) => byUser.get(userId) ?? { userId, status: "unknown", lastSeenTimeMs: undefined },
  );
}
