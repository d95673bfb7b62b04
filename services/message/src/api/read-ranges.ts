import { create } from "@bufbuild/protobuf";
import {
  type ReadRangesRequest,
  type ReadRangesResponse,
  ReadRangesResponseSchema,
  type TimelineRange,
  type TimelineSlice,
  TimelineSliceSchema,
} from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { clipRanges } from "../domain/window.ts";
import type { MessageStore } from "../ports.ts";
import { findReadable, type ReadableDeps, type ReadBudget, readSegments } from "./readable.ts";

type Deps = ReadableDeps & {
  readonly store: Pick<MessageStore, "readClosedWindows" | "readRows">;
};

const ENTRIES_DEFAULT = 500;
const ENTRIES_MAX = 1000;
/** What one answer may weigh: a session that catches up holds several of them. */
const ANSWER_BYTES_MAX = 1024 * 1024;

/** `TimelineService.ReadRanges`: stored bytes for sessions that catch up, range by range. */
export function createReadRanges(deps: Deps) {
  return async (request: ReadRangesRequest): Promise<ReadRangesResponse> => {
    const budget: ReadBudget = {
      rows: Math.min(request.entriesMax || ENTRIES_DEFAULT, ENTRIES_MAX),
      bytes: ANSWER_BYTES_MAX,
    };
    const slices: TimelineSlice[] = [];
    let first = true;
    for (const range of request.ranges) {
      if (budget.rows <= 0 || budget.bytes <= 0) break;
      const slice = await readRange(deps, request.userId, range, budget, first);
      slices.push(slice);
      first = first && slice.entries.length === 0;
      if (slice.readThroughSeq < range.lastSeq && slice.entries.length > 0) {
        // Ended by the budget, or by the head: only the former leaves nothing for the others.
        if (budget.rows <= 0 || budget.bytes <= 0) break;
      }
    }
    return create(ReadRangesResponseSchema, { slices });
  };
}

async function readRange(
  deps: Deps,
  userId: string,
  range: TimelineRange,
  budget: ReadBudget,
  first: boolean,
): Promise<TimelineSlice> {
  const { conversationId } = range;
  const afterSeq = Number(range.afterSeq);
  const lastSeq = Number(range.lastSeq);
  const readable = await findReadable(deps, conversationId, userId);
  // Nothing of it will ever be readable under these memberships: it is read through.
  if (readable === undefined) return sliceOf(conversationId, [], lastSeq);
  const segments = clipRanges(readable.ranges, afterSeq + 1, lastSeq);
  const { rows, complete } = await readSegments(deps.store, conversationId, segments, {
    older: false,
    budget,
    first,
  });
  if (!complete) {
    const stopped = rows.at(-1)?.seq ?? (segments[0]?.firstSeq ?? afterSeq + 1) - 1;
    return sliceOf(conversationId, rows, Math.max(stopped, afterSeq));
  }
  const { state } = readable;
  // A present member will read what is still to come; a former one never will.
  const readThrough = state.members.has(userId) ? Math.min(lastSeq, state.lastSeq) : lastSeq;
  return sliceOf(conversationId, rows, Math.max(readThrough, Math.min(afterSeq, lastSeq)));
}

function sliceOf(
  conversationId: string,
  rows: readonly { seq: number; messageId: bigint; event: Uint8Array }[],
  readThroughSeq: number,
): TimelineSlice {
  return create(TimelineSliceSchema, {
    conversationId,
    entries: rows.map(({ seq, messageId, event }) => ({ seq: BigInt(seq), messageId, event })),
    readThroughSeq: BigInt(readThroughSeq),
  });
}
