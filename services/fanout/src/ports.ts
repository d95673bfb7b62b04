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

/** How far the inboxes reach into one partition of the log. */
export type LogPlace = {
  /** Topic `fanout`: everything before it is in the inboxes and was brought to the gateways; replay starts here. */
  readonly replayOffset: number;
  /** Topic `messages`: all heads come from entries before it; 0 when there are none. */
  readonly headsEndOffset: number;
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
 * - Places are written together with the rows, so that what they say is true of the rows that are there,
 *   after any crash and in any copy of the store. Example of what must not happen: the store is put back
 *   from an older copy, and replay starts where the log says that it once was; the groups that were made
 *   in between are in nobody's inbox.
 */
export interface InboxStore extends AsyncDisposable {
  /** The log that everything in here was made from; undefined in a new store. */
  readIdentity(): Promise<LogIdentity | undefined>;
  /** Keeps the identity, durably; where instances share a store, the first one that is written stays. */
  writeIdentity(identity: LogIdentity): Promise<void>;

  /**
   * How far the store reaches into a partition; undefined when nothing of it has been written. A heads' end
   * is kept from the time on at which the identity is, by `partitionOf(conversationId, partitionCount)`.
   */
  readPlace(partition: number): Promise<LogPlace | undefined>;
  /**
   * Keeps where replay of a partition starts; a lower offset than before changes nothing. Resolves when it
   * is durable, which may take a moment longer than a write. Rejects only with StoreClosedError.
   */
  saveReplayOffset(partition: number, replayOffset: number): Promise<void>;

  /** True when so much waits for the disk that `visible` waits too: what can come again should be refused. */
  readonly full: boolean;

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
