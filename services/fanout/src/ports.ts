/** What fan-out needs from outside: a store of inboxes. */
import type { LogIdentity } from "@parley/platform/log/port";
import type { Conversation } from "./domain/conversation.ts";
import type { InboxItem, RowChange } from "./domain/inbox-row.ts";

/** Changes of one conversation and of its people's rows; they take effect together or not at all. */
export type InboxWrite = {
  readonly conversationId: string;
  /** The conversation as it is now; undefined when only rows change. */
  readonly conversation?: Conversation;
  readonly rows: readonly RowChange[];
};

/** What becomes of a write. A store that cannot write tries again, and makes its writers wait meanwhile. */
export type Written = {
  /** Every read that begins from then on sees it. Does not reject. */
  readonly visible: Promise<void>;
  /** It survives the loss of power. Rejects only with StoreClosedError. */
  readonly durable: Promise<void>;
};

export type InboxPageItem = InboxItem & {
  /** Where a page that ends with this item is continued; empty if nothing follows. */
  readonly nextPageToken: string;
};

/**
 * Inboxes: who belongs to a conversation, its newest entry, and each person's row.
 *
 * - Heads and members only grow: a write whose head has a lower `seq`, or whose members have a lower
 *   version, than what is stored changes that part in nothing. Example of what must not happen: an instance
 *   that stood still for a minute goes on, and takes the head of a conversation back by a minute; whoever
 *   reconnects then would believe that they have everything. (Cassandra: `USING TIMESTAMP` made from the
 *   entry's log offset.)
 * - Row changes are merged as `changeRow` says, whatever their order and however often they come.
 * - The newest entry of a member's row is the conversation's head. It is one write per conversation and not
 *   one per member where reading two places is cheap (LMDB); an adapter for which it is not may write the
 *   head into the rows of `conversation.members.present`.
 * - A write that is visible and not durable may be lost in a crash. Nothing is acknowledged to the sender
 *   of an event before it is durable, so it comes again.
 */
export interface InboxStore extends AsyncDisposable {
  /** The log that everything in here was made from; undefined in a new store. */
  readIdentity(): Promise<LogIdentity | undefined>;
  /** Keeps the identity, durably. */
  writeIdentity(identity: LogIdentity): Promise<void>;

  /** The conversation with its members; undefined if nothing of it was ever written. */
  readConversation(conversationId: string): Promise<Conversation | undefined>;

  /** Writes. Calls for one conversation take effect in their order. */
  write(write: InboxWrite): Written;

  /** A person's inbox by conversation id, after `afterConversationId` (empty: from the beginning). */
  listByConversation(
    userId: string,
    afterConversationId: string,
    limit: number,
  ): Promise<readonly InboxItem[]>;

  /**
   * A person's inbox, the newest entry first. Whoever reads page after page gets every conversation at
   * least once: those that moved up meanwhile come (again) at the end. Rejects with PageTokenError for a
   * token that it did not make.
   */
  listByNewest(userId: string, pageToken: string, limit: number): Promise<readonly InboxPageItem[]>;
}

/** The store was disposed of before the write was durable. */
export class StoreClosedError extends Error {
  override readonly name = "StoreClosedError";
}

/** Not a page token of this store. */
export class PageTokenError extends Error {
  override readonly name = "PageTokenError";
}
