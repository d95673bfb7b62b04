/** The positions that a session is opened with: what fits into `open`, and what follows it. */
import { create } from "@bufbuild/protobuf";
import { MorePositionsSchema, OpenSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { LiveSession } from "./live-session.ts";

/** What the contract takes in one frame. */
const POSITIONS_PER_FRAME_MAX = 1_000;

/** How far this device has a conversation. */
export type KnownPosition = {
  readonly conversationId: string;
  readonly seq: bigint;
  /** The id of the entry at `seq`; 0 where it is not known. */
  readonly messageId: bigint;
};

export function createOpen(all: readonly KnownPosition[], catchUpMessagesMax: number) {
  return create(OpenSchema, {
    positions: all.slice(0, POSITIONS_PER_FRAME_MAX),
    positionsComplete: all.length <= POSITIONS_PER_FRAME_MAX,
    catchUpMessagesMax,
  });
}

/** Sends the positions that did not fit into `open`. @throws ParleyError when one frame was not taken. */
export async function sendMorePositions(
  session: Pick<LiveSession, "request">,
  all: readonly KnownPosition[],
): Promise<void> {
  for (let start = POSITIONS_PER_FRAME_MAX; start < all.length; start += POSITIONS_PER_FRAME_MAX) {
    const value = create(MorePositionsSchema, {
      positions: all.slice(start, start + POSITIONS_PER_FRAME_MAX),
      positionsComplete: start + POSITIONS_PER_FRAME_MAX >= all.length,
    });
    await session.request({ case: "morePositions", value });
  }
}
