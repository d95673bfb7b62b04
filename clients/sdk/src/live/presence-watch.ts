/** Whose presence this client watches, and what is known of it. */
import { create } from "@bufbuild/protobuf";
import type { Presence } from "@parley/gen/parley/presence/v1/presence_pb";
import { WatchPresenceSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { LiveSession } from "../session/live-session.ts";

export type PresenceWatch = {
  /**
   * Replaces the set of watched people: up to 500, who are mutual contacts or members of the group named. The
   * present state comes as events. Without a session, the set is sent as soon as there is one.
   *
   * @throws ParleyError a refusal; losing the connection is none.
   */
  watch(userIds: readonly string[], conversationId?: string): Promise<void>;
  /** What was last heard of a watched person in this session. */
  get(userId: string): Presence | undefined;
  onPresence(presence: Presence): void;
  onOnline(): void;
};

export function createPresenceWatch(dependencies: {
  readonly session: () => Pick<LiveSession, "request"> | undefined;
  readonly onChange: (presence: Presence) => void;
}): PresenceWatch {
  const known = new Map<string, Presence>();
  let watched: { readonly userIds: readonly string[]; readonly conversationId: string } | undefined;

  const send = async () => {
    const session = dependencies.session();
    if (!session || !watched) return;
    const { userIds, conversationId } = watched;
    const value = create(WatchPresenceSchema, { userIds: [...userIds], conversationId });
    await session.request({ case: "watchPresence", value }).catch((error: unknown) => {
      // The next session sends the set again.
      if (dependencies.session() === session) throw error;
    });
  };
  return {
    async watch(userIds, conversationId = "") {
      watched = { userIds, conversationId };
      const wanted = new Set(userIds);
      for (const userId of known.keys()) if (!wanted.has(userId)) known.delete(userId);
      await send();
    },
    get: (userId) => known.get(userId),
    onPresence(presence) {
      if (watched?.userIds.includes(presence.userId)) known.set(presence.userId, presence);
      dependencies.onChange(presence);
    },
    onOnline() {
      // What was known is as old as the last session.
      known.clear();
      send().catch(() => {});
    },
  };
}
