import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type PresenceSchema, PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import type { PresenceState } from "../domain/presence-rules.ts";

const STATUSES = {
  online: PresenceStatus.ONLINE,
  offline: PresenceStatus.OFFLINE,
  unknown: PresenceStatus.UNSPECIFIED,
} as const;

/** A state as the contract says it. */
export function toPresence(state: PresenceState): MessageInitShape<typeof PresenceSchema> {
  const { userId, lastSeenTimeMs } = state;
  return {
    userId,
    status: STATUSES[state.status],
    ...(state.status === "offline" && lastSeenTimeMs !== undefined
      ? { lastSeenTime: timestampFromMs(lastSeenTimeMs) }
      : {}),
  };
}
