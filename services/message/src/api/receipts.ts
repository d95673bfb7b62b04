/** Receipts as callers see them. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Receipt, ReceiptSchema } from "@parley/gen/parley/message/v1/message_pb";
import type { StoredReceipt } from "../domain/conversation.ts";

/** The receipt of one person; without the read position, and the time that tells of it, if it is hidden. */
export function toReceipt(
  conversationId: string,
  receipt: StoredReceipt,
  hideRead = false,
): Receipt {
  const { userId, deliveredSeq, readSeq, updateTimeMs } = receipt;
  return create(ReceiptSchema, {
    conversationId,
    userId,
    deliveredSeq: BigInt(deliveredSeq),
    readSeq: hideRead ? 0n : BigInt(readSeq),
    ...(hideRead || updateTimeMs === 0 ? {} : { updateTime: timestampFromMs(updateTimeMs) }),
  });
}
