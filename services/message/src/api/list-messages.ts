import { create, fromBinary } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import {
  type ListMessagesRequest,
  type ListMessagesResponse,
  ListMessagesResponseSchema,
  ReadDirection,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { StoredRow } from "../domain/conversation.ts";
import { firstMessageIdAt } from "../domain/message-id.ts";
import { clipRanges, type SeqRange } from "../domain/window.ts";
import type { MessageStore } from "../ports.ts";
import { type Readable, type ReadableDeps, readSegments, requireReadable } from "./readable.ts";

type Deps = ReadableDeps & {
  readonly store: Pick<MessageStore, "readClosedWindows" | "readRows" | "findRow">;
};

const PAGE_SIZE_DEFAULT = 50;
const PAGE_SIZE_MAX = 200;
/** What a page may weigh: well below what any transport takes, and enough for a screen of text. */
const PAGE_BYTES_MAX = 1024 * 1024;

/** `MessageService.ListMessages`: a page of what the caller may read, by position. */
export function createListMessages(deps: Deps) {
  return async (
    request: ListMessagesRequest,
    context: HandlerContext,
  ): Promise<ListMessagesResponse> => {
    const { userId } = requireDevice(context);
    const readable = await requireReadable(deps, request.conversationId, userId);
    const older = request.direction === ReadDirection.OLDER;
    const span = await spanOf(deps, request, readable, older);
    const segments = clipRanges(readable.ranges, span.firstSeq, span.lastSeq);
    const inDirection = older ? segments.toReversed() : segments;
    const rowsMax = Math.min(request.pageSize || PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX);
    const { rows } = await readSegments(deps.store, request.conversationId, inDirection, {
      older,
      budget: { rows: rowsMax, bytes: PAGE_BYTES_MAX },
      first: true,
    });
    return create(ListMessagesResponseSchema, {
      messages: rows.map(messageOf),
      more: isMore(segments, rows, older),
      lastSeq: BigInt(readable.ranges.at(-1)?.lastSeq ?? 0),
    });
  };
}

/** The places that the request is about, whether readable or not. */
async function spanOf(
  { store }: Deps,
  request: ListMessagesRequest,
  { state }: Readable,
  older: boolean,
): Promise<SeqRange> {
  const { conversationId, fromTime } = request;
  if (fromTime !== undefined) {
    // Append times are whole ms: the first that is not before a time between two of them is the later.
    const fromMs = Number(fromTime.seconds) * 1000 + Math.ceil(fromTime.nanos / 1_000_000);
    const id = firstMessageIdAt(fromMs);
    const row = await store.findRow(conversationId, state.lastSeq, "messageId", id);
    const seq = row?.seq ?? state.lastSeq + 1;
    return older ? { firstSeq: 1, lastSeq: seq } : { firstSeq: seq, lastSeq: state.lastSeq };
  }
  const fromSeq = Number(request.fromSeq);
  if (!older) return { firstSeq: fromSeq + 1, lastSeq: state.lastSeq };
  return { firstSeq: 1, lastSeq: fromSeq === 0 ? state.lastSeq : fromSeq - 1 };
}

/** Whether something readable lies behind what was read. Nothing does when not even one row was there. */
function isMore(
  segments: readonly SeqRange[],
  rows: readonly StoredRow[],
  older: boolean,
): boolean {
  const last = rows.at(-1);
  if (last === undefined) return false;
  return older
    ? segments.some(({ firstSeq }) => firstSeq < last.seq)
    : segments.some(({ lastSeq }) => lastSeq > last.seq);
}

/** The entry in a row. A row that is not an entry is a defect of the store, and must not look like an end. */
function messageOf(row: StoredRow): Message {
  const { event } = fromBinary(EventSchema, row.event);
  if (event.case !== "message") throw new Error(`the row of seq ${row.seq} holds no message`);
  return event.value;
}
