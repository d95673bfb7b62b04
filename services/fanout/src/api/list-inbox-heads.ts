import type { ServiceImpl } from "@connectrpc/connect";
import type { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { invalidArgument } from "@parley/platform/errors";
import type { InboxItem } from "../domain/inbox-row.ts";
import type { InboxStore } from "../ports.ts";

type Dependencies = { readonly store: Pick<InboxStore, "listByConversation"> };

const PAGE_SIZE_DEFAULT = 500;
/** What a session that catches up takes in one go. */
const PAGE_SIZE_MAX = 1000;

/** Lists where a person's conversations stand, by conversation id. */
export function createListInboxHeads({
  store,
}: Dependencies): ServiceImpl<typeof FanoutService>["listInboxHeads"] {
  return async ({ userId, pageSize, pageToken }) => {
    const size = Math.min(pageSize === 0 ? PAGE_SIZE_DEFAULT : pageSize, PAGE_SIZE_MAX);
    const after = decodePageToken(pageToken);
    // One more than the page, to know whether another follows.
    const items = await store.listByConversation(userId, after, size + 1);
    const page = items.slice(0, size);
    const last = page.at(-1)?.conversationId ?? "";
    return {
      heads: page.map(toHead),
      nextPageToken: items.length > size ? encodePageToken(last) : "",
    };
  };
}

function toHead({ conversationId, lastSeq, lastMessageId, firstSeq, member }: InboxItem) {
  return { conversationId, lastSeq, lastMessageId, firstSeq, member };
}

const PREFIX = "after ";

function encodePageToken(conversationId: string): string {
  return Buffer.from(PREFIX + conversationId).toString("base64url");
}

function decodePageToken(pageToken: string): string {
  if (pageToken === "") return "";
  const text = Buffer.from(pageToken, "base64url").toString();
  if (!text.startsWith(PREFIX) || encodePageToken(text.slice(PREFIX.length)) !== pageToken) {
    throw invalidArgument("page_token", "This is no page token of this list.");
  }
  return text.slice(PREFIX.length);
}
