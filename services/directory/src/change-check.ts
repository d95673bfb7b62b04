/** Whether what the log holds at a version is the change that was decided here. */
import { equals, fromBinary } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  type ConversationChange,
  ConversationChangeSchema,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { AppendAccepted } from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { TimelineService } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { unavailable } from "@parley/platform/errors";
import { ChangeConflictError, type OutboxEntry } from "./conversation-ports.ts";

/** Rejects with a `ChangeConflictError` when it is another one, and with `UNAVAILABLE` when it cannot be read now. */
export type ChangeCheck = (entry: OutboxEntry, accepted: AppendAccepted) => Promise<void>;

/** Longer than the message service takes to read one row, shorter than a caller waits, in ms. */
const READ_TIMEOUT_MS = 5000;

/**
 * Creates the check of an answer that says "had been appended before". Usually that was an attempt of ours
 * whose answer got lost. If the directory's database was put back from an older copy, though, it decides
 * versions that the log has from another history: then the member whose removal was decided is still one
 * there, and the answer must not be taken for success.
 *
 * A permission to write has no place in the timeline and so cannot be compared here.
 */
export function createChangeCheck(transport: Transport): ChangeCheck {
  const timeline = createClient(TimelineService, transport);
  return async (entry, { seq }) => {
    const { conversationId, change } = entry;
    if (change.change.case === "sendPermissionChanged") return;
    // No entry of the timeline has this version: the log has a change without a place there.
    if (seq === 0n) throw conflict(entry);
    // Who makes a change is a member at its entry, and may read it.
    const { slices } = await timeline.readRanges(
      {
        userId: change.actorUserId,
        ranges: [{ conversationId, afterSeq: seq - 1n, lastSeq: seq }],
        entriesMax: 1,
      },
      { timeoutMs: READ_TIMEOUT_MS },
    );
    const [slice] = slices;
    const [found] = slice?.entries ?? [];
    if (found === undefined && (slice?.readThroughSeq ?? 0n) < seq) {
      throw unavailable("CHANGE_NOT_READABLE", "The change cannot be read yet.");
    }
    const applied = found === undefined ? undefined : changeIn(found.event);
    if (applied === undefined || !equals(ConversationChangeSchema, applied, change)) {
      throw conflict(entry);
    }
  };
}

function changeIn(bytes: Uint8Array): ConversationChange | undefined {
  const { event } = fromBinary(EventSchema, bytes);
  if (event.case !== "message" || event.value.body.case !== "change") return undefined;
  return event.value.body.value;
}

function conflict({ conversationId, membershipVersion }: OutboxEntry): Error {
  return new ChangeConflictError(
    `The log holds another change of version ${membershipVersion} of the conversation ${conversationId}: ` +
      "the directory's database is older than the log. Restore all directories of the server from the same " +
      "backup.",
  );
}
