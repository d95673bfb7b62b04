/** How far the inboxes reach into the log, as it will be when everything is written. */
import { partitionOf } from "@parley/platform/log/partition";
import type { Conversation } from "../domain/conversation.ts";
import type { LogPlace } from "../ports.ts";
import type { Unwritten } from "./unwritten.ts";

export type LogPlaces = {
  get(partition: number): LogPlace | undefined;
  /** Raises where replay starts, and has it written, also when it is known: it may be on its way only. */
  saveReplayOffset(unwritten: Unwritten, partition: number, replayOffset: number): void;
  /** Notes a head that is written. Nothing while the number of partitions is unknown. */
  noteHead(unwritten: Unwritten, conversation: Conversation): void;
  /** Set once the store knows its log. */
  partitionCount: number | undefined;
};

const NO_PLACE: LogPlace = { replayOffset: 0, headsEndOffset: 0 };

export function createLogPlaces(
  stored: ReadonlyMap<number, LogPlace>,
  partitionCount: number | undefined,
): LogPlaces {
  const places = new Map(stored);
  const put = (unwritten: Unwritten, partition: number, place: LogPlace) => {
    places.set(partition, place);
    unwritten.places.set(partition, place);
  };
  return {
    partitionCount,
    get: (partition) => places.get(partition),
    saveReplayOffset(unwritten, partition, replayOffset) {
      const known = places.get(partition) ?? NO_PLACE;
      const grown = Math.max(known.replayOffset, replayOffset);
      put(unwritten, partition, { ...known, replayOffset: grown });
    },
    noteHead(unwritten, { conversationId, head }) {
      if (this.partitionCount === undefined) return;
      const partition = partitionOf(conversationId, this.partitionCount);
      const known = places.get(partition) ?? NO_PLACE;
      const headsEndOffset = Number(head.offset) + 1;
      if (headsEndOffset <= known.headsEndOffset) return;
      put(unwritten, partition, { ...known, headsEndOffset });
    },
  };
}
