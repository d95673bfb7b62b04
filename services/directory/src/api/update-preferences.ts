import { create, toBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { ConversationPreferencesSchema } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { ConversationStore, SessionNotifier } from "../conversation-ports.ts";
import { toPreferencesMessage } from "./conversation-answer.ts";
import { type ConversationHandlers, refusalError } from "./conversation-handler.ts";

type Deps = {
  readonly conversations: Pick<ConversationStore, "setMute">;
  readonly sessions: SessionNotifier;
  readonly log: Logger;
};

/** `ConversationService.UpdatePreferences` */
export function createUpdatePreferences(deps: Deps): ConversationHandlers["updatePreferences"] {
  const { conversations, sessions, log } = deps;
  return async ({ conversationId, muteUntilTime }, context) => {
    const { userId } = requireDevice(context);
    const muteUntilTimeMs = muteUntilTime && toMs(muteUntilTime);
    const stored = await conversations.setMute(conversationId, userId, muteUntilTimeMs);
    if (!stored) throw refusalError({ reason: "CONVERSATION_NOT_FOUND" });
    const preferences = create(
      ConversationPreferencesSchema,
      toPreferencesMessage(conversationId, muteUntilTimeMs),
    );
    const event = { event: { case: "preferences", value: preferences } } as const;
    try {
      await sessions.notify(userId, toBinary(EventSchema, create(EventSchema, event)));
    } catch (error) {
      // Stored all the same; a device that was not told reads it with the conversation.
      log.warn({ error }, "Own sessions were not told of changed preferences.");
    }
    return { preferences };
  };
}

/** The years that the well-known type allows, 0001 to 9999, in seconds since the Unix epoch. */
const TIMESTAMP_SECONDS_MIN = -62_135_596_800n;
const TIMESTAMP_SECONDS_MAX = 253_402_300_799n;
/** More would carry the time beyond its seconds, and beyond the last year. */
const NANOS_MAX = 999_999_999;

function toMs(timestamp: Timestamp): number {
  const { seconds, nanos } = timestamp;
  const fraction = nanos >= 0 && nanos <= NANOS_MAX;
  if (!fraction || seconds < TIMESTAMP_SECONDS_MIN || seconds > TIMESTAMP_SECONDS_MAX) {
    throw invalidArgument("mute_until_time", "A time lies between the years 1 and 9999.");
  }
  return timestampMs(timestamp);
}
