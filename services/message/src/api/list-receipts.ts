import { create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import {
  type ListReceiptsRequest,
  type ListReceiptsResponse,
  ListReceiptsResponseSchema,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { MessageStore } from "../ports.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";
import { type ReadableDeps, requireMember } from "./readable.ts";
import { toReceipt } from "./receipts.ts";

type Deps = ReadableDeps & {
  readonly store: Pick<MessageStore, "readClosedWindows" | "readReceipts">;
  readonly receiptSettings: { hiding(userIds: readonly string[]): Promise<ReadonlySet<string>> };
};

const PAGE_SIZE_DEFAULT = 100;
const PAGE_SIZE_MAX = 500;

/** `MessageService.ListReceipts`: the positions of the present members, by user id. */
export function createListReceipts(deps: Deps) {
  return async (
    request: ListReceiptsRequest,
    context: HandlerContext,
  ): Promise<ListReceiptsResponse> => {
    const { userId: callerId } = requireDevice(context);
    const { conversationId, pageToken } = request;
    const after = pageToken === "" ? "" : decodeToken(pageToken);
    const state = await requireMember(deps, conversationId, callerId);
    const size = Math.min(request.pageSize || PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX);
    const remaining = [...state.members.keys()].filter((userId) => userId > after).sort();
    const userIds = remaining.slice(0, size);
    const [receipts, hiding] = await Promise.all([
      deps.store.readReceipts(conversationId, userIds),
      deps.receiptSettings.hiding([...new Set([callerId, ...userIds])]),
    ]);
    // Who keeps their own positions to themselves is not shown those of others.
    const isHidden = (userId: string) =>
      userId !== callerId && (hiding.has(userId) || hiding.has(callerId));
    const last = userIds.at(-1);
    const more = remaining.length > userIds.length && last !== undefined;
    return create(ListReceiptsResponseSchema, {
      receipts: receipts.map((receipt) =>
        toReceipt(conversationId, receipt, isHidden(receipt.userId)),
      ),
      nextPageToken: more ? encodePageToken([last]) : "",
    });
  };
}

function decodeToken(pageToken: string): string {
  const [after] = decodePageToken(pageToken, ["string"]);
  return after as string;
}
