/** What a notice of somebody's positions says, and to whom. */
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { DispatchReceiptRequest } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";

/** One person's positions in one conversation. */
export type ReceiptNotice = Pick<
  DispatchReceiptRequest,
  | "conversationId"
  | "userId"
  | "deliveredSeq"
  | "readSeq"
  | "readUnreadOrdinal"
  | "updateTimeMs"
  | "showRead"
  | "authorUserId"
  | "deliveredGrew"
  | "notShownUserIds"
>;

export type Told = {
  /** These get both positions and the time. */
  readonly all: readonly string[];
  /** These get the delivered position alone. */
  readonly delivered: readonly string[];
};

/**
 * Which of the others learn what. Whoever the read position is kept from, by its owner's settings or by their
 * own, hears of it only when the delivered one grew: that a notice comes would tell of it otherwise.
 */
export function toldOf(notice: ReceiptNotice, otherUserIds: readonly string[]): Told {
  const { showRead, deliveredGrew, notShownUserIds } = notice;
  if (showRead && notShownUserIds.length === 0) return { all: otherUserIds, delivered: [] };
  const isShown = (userId: string) => showRead && !notShownUserIds.includes(userId);
  return {
    all: otherUserIds.filter(isShown),
    delivered: deliveredGrew ? otherUserIds.filter((userId) => !isShown(userId)) : [],
  };
}

/** True if nobody but the person would hear of it. */
export function isForNobody({ showRead, deliveredGrew }: ReceiptNotice): boolean {
  return !showRead && !deliveredGrew;
}

/**
 * Two notices of one person as one. Both positions and the time only grow. Whether the read one is shown goes
 * by the newer notice, `b`; to whom it is not shown goes by both.
 */
export function mergeNotices(a: ReceiptNotice, b: ReceiptNotice): ReceiptNotice {
  const larger = (x: bigint, y: bigint) => (x > y ? x : y);
  return {
    ...b,
    deliveredSeq: larger(a.deliveredSeq, b.deliveredSeq),
    readSeq: larger(a.readSeq, b.readSeq),
    updateTimeMs: larger(a.updateTimeMs, b.updateTimeMs),
    deliveredGrew: a.deliveredGrew || b.deliveredGrew,
    notShownUserIds: [...new Set([...a.notShownUserIds, ...b.notShownUserIds])],
  };
}

/** The event as devices get it; `withRead` if it says what was read, and when. */
export function encodeReceipt(notice: ReceiptNotice, withRead: boolean): Uint8Array {
  const { conversationId, userId, deliveredSeq, readSeq, updateTimeMs } = notice;
  const value = {
    conversationId,
    userId,
    deliveredSeq,
    ...(withRead ? { readSeq, updateTime: timestampFromMs(Number(updateTimeMs)) } : {}),
  };
  return toBinary(EventSchema, create(EventSchema, { event: { case: "receipt", value } }));
}
