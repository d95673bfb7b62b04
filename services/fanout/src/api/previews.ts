/** The newest entry of each conversation of an inbox page. */
import { fromBinary } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { TimelineService } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import type { InboxItem } from "../domain/inbox-row.ts";

export type Timeline = Pick<Client<typeof TimelineService>, "readRanges">;

export type Previews = {
  /** By conversation id. An entry that cannot be read has none. */
  readonly messages: ReadonlyMap<string, Message>;
  /** So many of the items were looked at, from the first on. */
  readonly itemCount: number;
};

/** The contract's bound on the ranges of one request. */
const RANGES_MAX = 100;

/** Previews above this end the page; large payloads must not add up to 50 MB. */
const PREVIEW_BYTES_MAX = 1024 * 1024;

/** Reads the last entries of the items, in order, until one MiB has come together; at least one. */
export async function readPreviews(
  timeline: Timeline,
  userId: string,
  items: readonly InboxItem[],
): Promise<Previews> {
  const messages = new Map<string, Message>();
  let itemCount = 0;
  let bytes = 0;
  while (itemCount < items.length && bytes < PREVIEW_BYTES_MAX) {
    const part = items.slice(itemCount, itemCount + RANGES_MAX);
    const { slices } = await timeline.readRanges({
      userId,
      ranges: part.map(({ conversationId, lastSeq }) => ({
        conversationId,
        afterSeq: lastSeq - 1n,
        lastSeq,
      })),
      entriesMax: part.length,
    });
    let finished = 0;
    for (const [index, { conversationId, entries, readThroughSeq }] of slices.entries()) {
      const item = part[index];
      if (item?.conversationId !== conversationId || readThroughSeq < item.lastSeq) break;
      finished++;
      const event = entries[0]?.event;
      if (event === undefined) continue;
      bytes += event.length;
      const message = decodeMessage(event);
      if (message !== undefined) messages.set(conversationId, message);
    }
    // An answer without any progress would be asked for again for ever: its first range has no preview.
    itemCount += Math.max(finished, 1);
  }
  return { messages, itemCount };
}

function decodeMessage(event: Uint8Array): Message | undefined {
  const decoded = fromBinary(EventSchema, event).event;
  return decoded.case === "message" ? decoded.value : undefined;
}
