/** Lists of the contract, read page by page. */
import type { Client } from "@connectrpc/connect";
import type { Member } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import type { InboxService } from "@parley/gen/parley/message/v1/inbox_service_pb";
import type { InboxEntry, Receipt } from "@parley/gen/parley/message/v1/message_pb";
import type { MessageService } from "@parley/gen/parley/message/v1/message_service_pb";

/** Times that a list of members is begun again because it changed between its pages. */
const RESTARTS_MAX = 5;
/** A list of this many pages is longer than any that the contract allows: the server repeats itself. */
const PAGES_MAX = 1_000;

/** Reads pages until the last one. */
async function* readPages<T>(
  read: (
    pageToken: string,
  ) => Promise<{ readonly items: readonly T[]; readonly nextPageToken: string }>,
): AsyncGenerator<readonly T[]> {
  let pageToken = "";
  for (let page = 0; page < PAGES_MAX; page++) {
    const { items, nextPageToken } = await read(pageToken);
    yield items;
    if (nextPageToken === "") return;
    pageToken = nextPageToken;
  }
}

/** All members of a conversation, as they are at one moment if membership lets itself be read so. */
export async function listMembers(
  conversations: Client<typeof ConversationService>,
  conversationId: string,
): Promise<Member[]> {
  for (let attempt = 0; ; attempt++) {
    const members: Member[] = [];
    const versions = new Set<bigint>();
    const pages = readPages(async (pageToken) => {
      const page = await conversations.listMembers({ conversationId, pageToken });
      versions.add(page.membershipVersion);
      return { items: page.members, nextPageToken: page.nextPageToken };
    });
    for await (const items of pages) members.push(...items);
    if (versions.size === 1 || attempt === RESTARTS_MAX) return members;
  }
}

/** The positions of all members of a conversation. */
export async function listReceipts(
  messages: Client<typeof MessageService>,
  conversationId: string,
): Promise<Receipt[]> {
  const receipts: Receipt[] = [];
  const pages = readPages(async (pageToken) => {
    const page = await messages.listReceipts({ conversationId, pageToken });
    return { items: page.receipts, nextPageToken: page.nextPageToken };
  });
  for await (const items of pages) receipts.push(...items);
  return receipts;
}

/** The inbox, newest first; a conversation that moves up while it is read comes once. */
export async function* listInbox(inbox: Client<typeof InboxService>): AsyncGenerator<InboxEntry> {
  const seen = new Set<string>();
  const pages = readPages(async (pageToken) => {
    const page = await inbox.listInbox({ pageToken });
    return { items: page.entries, nextPageToken: page.nextPageToken };
  });
  for await (const items of pages) {
    for (const entry of items) {
      if (seen.has(entry.conversationId)) continue;
      seen.add(entry.conversationId);
      yield entry;
    }
  }
}
