/** `TimelineService.ReadRanges` over an in-memory chat, bounded as the contract has it. */
import { toBinary } from "@bufbuild/protobuf";
import {
  type ReadRangesRequest,
  ReadRangesRequestSchema,
  type TimelineRange,
} from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import type { ChatEntry, MemoryChat } from "./memory-chat.ts";

const ENTRIES_DEFAULT = 500;
const READ_BYTES_MAX = 1024 * 1024;

type Room = { entries: number; bytes: number; empty: boolean };

export function readRanges(chat: MemoryChat, request: ReadRangesRequest) {
  const { userId, ranges, entriesMax } = request;
  // Throws what another process could not be asked.
  toBinary(ReadRangesRequestSchema, request);
  const room = { entries: entriesMax || ENTRIES_DEFAULT, bytes: READ_BYTES_MAX, empty: true };
  const slices: ReturnType<typeof readRange>[] = [];
  for (const range of ranges) {
    if (room.entries <= 0 || room.bytes <= 0) break;
    slices.push(readRange(chat, userId, range, room));
  }
  return slices;
}

function readRange(chat: MemoryChat, userId: string, range: TimelineRange, room: Room) {
  const { conversationId } = range;
  const [afterSeq, lastSeq] = [Number(range.afterSeq), Number(range.lastSeq)];
  const stored = chat.conversations.get(conversationId)?.entries ?? [];
  // Somebody who is a member will read what is still to come; others never will.
  let throughSeq = chat.isMember(conversationId, userId)
    ? Math.max(afterSeq, Math.min(lastSeq, stored.length))
    : lastSeq;
  const entries: ChatEntry[] = [];
  for (const entry of stored.slice(afterSeq, lastSeq)) {
    if (!chat.mayRead(conversationId, userId, entry.seq)) continue;
    // An entry that alone is too large is read if it is the first of its answer.
    if (room.entries <= 0 || (entry.event.length > room.bytes && !room.empty)) {
      throughSeq = entry.seq - 1;
      break;
    }
    entries.push(entry);
    room.entries--;
    room.bytes -= entry.event.length;
    room.empty = false;
  }
  return {
    conversationId,
    entries: entries.map(({ seq, messageId, event }) => ({ seq: BigInt(seq), messageId, event })),
    readThroughSeq: BigInt(throughSeq),
  };
}
