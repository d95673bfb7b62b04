import { create } from "@bufbuild/protobuf";
import type { Client, HandlerContext } from "@connectrpc/connect";
import type { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import {
  type UpdateReceiptRequest,
  type UpdateReceiptResponse,
  UpdateReceiptResponseSchema,
} from "@parley/gen/parley/message/v1/message_service_pb";
import type { Clock } from "@parley/platform/clock";
import { requireDevice } from "@parley/platform/rpc/caller";
import type {
  ConversationState,
  RaisedReceipt,
  StoredReceipt,
  StoredRow,
} from "../domain/conversation.ts";
import type { MessageStore } from "../ports.ts";
import { type ReadableDeps, requireMember } from "./readable.ts";
import { toReceipt } from "./receipts.ts";

type Deps = ReadableDeps & {
  readonly store: Pick<MessageStore, "readClosedWindows" | "readRows" | "raiseReceipt">;
  readonly fanout: Pick<Client<typeof FanoutService>, "dispatchReceipt">;
  /** The people who keep their read positions to themselves. */
  readonly receiptSettings: { hiding(userIds: readonly string[]): Promise<ReadonlySet<string>> };
  readonly onRaised: () => void;
  readonly clock: Clock;
};

/** `MessageService.UpdateReceipt`: positions only grow, and the others are told. */
export function createUpdateReceipt(deps: Deps) {
  return async (
    request: UpdateReceiptRequest,
    context: HandlerContext,
  ): Promise<UpdateReceiptResponse> => {
    const { userId } = requireDevice(context);
    const { conversationId } = request;
    const state = await requireMember(deps, conversationId, userId);
    const asked = toPositions(request, state, userId, deps.clock.nowMs());
    const raised = await deps.store.raiseReceipt(conversationId, asked);
    const stored = raised.receipt;
    // Equal also when they were raised before: the notice of that call may have been lost.
    if (stored.readSeq === asked.readSeq || stored.deliveredSeq === asked.deliveredSeq) {
      if (stored.updateTimeMs === asked.updateTimeMs) deps.onRaised();
      await notify(deps, state, raised);
    }
    return create(UpdateReceiptResponseSchema, { receipt: toReceipt(conversationId, stored) });
  };
}

/** What is asked for, within what there is; a read entry has also been delivered. */
function toPositions(
  request: UpdateReceiptRequest,
  state: ConversationState,
  userId: string,
  nowMs: number,
): StoredReceipt {
  const readSeq = Math.min(Number(request.readSeq), state.lastSeq);
  const deliveredSeq = Math.max(Math.min(Number(request.deliveredSeq), state.lastSeq), readSeq);
  return { userId, deliveredSeq, readSeq, updateTimeMs: nowMs };
}

async function notify(
  deps: Deps,
  state: ConversationState,
  { receipt, deliveredGrew }: RaisedReceipt,
): Promise<void> {
  const { conversationId } = state;
  const { userId, deliveredSeq, readSeq, updateTimeMs } = receipt;
  const [read, delivered] = await Promise.all([
    rowAt(deps, conversationId, readSeq),
    readSeq > 0 ? undefined : rowAt(deps, conversationId, deliveredSeq),
  ]);
  const authorUserId = (read ?? delivered)?.senderUserId ?? "";
  const told = peopleTold(state, authorUserId).filter((each) => each !== userId);
  const hiding = await deps.receiptSettings.hiding([userId, ...told]);
  await deps.fanout.dispatchReceipt({
    conversationId,
    userId,
    deliveredSeq: BigInt(deliveredSeq),
    readSeq: BigInt(readSeq),
    readUnreadOrdinal: BigInt(read?.unreadOrdinal ?? 0),
    updateTimeMs: BigInt(updateTimeMs),
    showRead: !hiding.has(userId),
    authorUserId,
    deliveredGrew,
    notShownUserIds: told.filter((each) => hiding.has(each)),
  });
}

/** The contract: in larger conversations only authors are told. */
const EVERYBODY_TOLD_MEMBERS_MAX = 32;

/** Whom fan-out will tell, the person among them. */
function peopleTold({ members }: ConversationState, authorUserId: string): readonly string[] {
  if (members.size <= EVERYBODY_TOLD_MEMBERS_MAX) return [...members.keys()];
  return authorUserId === "" ? [] : [authorUserId];
}

async function rowAt(
  { store }: Deps,
  conversationId: string,
  seq: number,
): Promise<StoredRow | undefined> {
  if (seq === 0) return undefined;
  const query = { conversationId, fromSeq: seq, toSeq: seq, rowsMax: 1, bytesMax: 0 };
  return (await store.readRows(query))[0];
}
