import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { InboxService } from "@parley/gen/parley/message/v1/inbox_service_pb";
import type { InboxEntrySchema, Message } from "@parley/gen/parley/message/v1/message_pb";
import { invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { InboxItem } from "../domain/inbox-row.ts";
import { type InboxPageItem, type InboxStore, PageTokenError } from "../ports.ts";
import { readPreviews, type Timeline } from "./previews.ts";

type Dependencies = {
  readonly store: Pick<InboxStore, "listByNewest">;
  readonly timeline: Timeline;
};

const PAGE_SIZE_DEFAULT = 50;
/** Each entry has a preview, and a page with many large ones ends early anyway. */
const PAGE_SIZE_MAX = 200;

/** Lists the caller's conversations, the one with the newest entry first. */
export function createListInbox({
  store,
  timeline,
}: Dependencies): ServiceImpl<typeof InboxService>["listInbox"] {
  return async ({ pageSize, pageToken }, context) => {
    const { userId } = requireDevice(context);
    const size = Math.min(pageSize === 0 ? PAGE_SIZE_DEFAULT : pageSize, PAGE_SIZE_MAX);
    const items = await readPage(store, userId, pageToken, size);
    const { messages, itemCount } = await readPreviews(timeline, userId, items);
    const page = items.slice(0, itemCount);
    return {
      entries: page.map((item) => toEntry(item, messages.get(item.conversationId))),
      nextPageToken: page.at(-1)?.nextPageToken ?? "",
    };
  };
}

async function readPage(
  store: Dependencies["store"],
  userId: string,
  pageToken: string,
  size: number,
): Promise<readonly InboxPageItem[]> {
  try {
    return await store.listByNewest(userId, pageToken, size);
  } catch (error) {
    if (!(error instanceof PageTokenError)) throw error;
    throw invalidArgument("page_token", "This is no page token of this list.");
  }
}

function toEntry(
  { conversationId, lastSeq, lastMessageId, readSeq, unreadCount, firstSeq, member }: InboxItem,
  lastMessage: Message | undefined,
): MessageInitShape<typeof InboxEntrySchema> {
  return {
    conversationId,
    lastSeq,
    lastMessageId,
    readSeq,
    unreadCount,
    firstSeq,
    member,
    ...(lastMessage === undefined ? {} : { lastMessage }),
  };
}
