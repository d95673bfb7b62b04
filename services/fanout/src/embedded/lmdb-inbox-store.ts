/** Inboxes in an LMDB file: the store of one process. */
import { createBackoff } from "@parley/platform/async/backoff";
import type { LogIdentity } from "@parley/platform/log/port";
import { type Conversation, NO_HEAD, newerConversation } from "../domain/conversation.ts";
import { changeRow, type InboxItem, type RowChange, toInboxItem } from "../domain/inbox-row.ts";
import {
  type InboxPageItem,
  type InboxStore,
  type InboxWrite,
  StoreClosedError,
  type Written,
} from "../ports.ts";
import { createConversationCache } from "./conversation-cache.ts";
import type { StoredConversation, StoredHead, StoredRow } from "./inbox-encoding.ts";
import { type InboxTables, openInboxTables } from "./inbox-tables.ts";
import { createPageReader } from "./newest-pages.ts";
import { createUnwritten, putBack, putConversation, putRow, type Unwritten } from "./unwritten.ts";

export type LmdbInboxStoreOptions = {
  /** Directory of this store alone; created if missing. */
  readonly directory: string;
  /** Memberships that are held in memory; about 100 bytes each. */
  readonly membershipsCachedMax: number;
  /** How long writes are collected before they go to disk, in ms; default COMMIT_DELAY_MS. */
  readonly commitDelayMs?: number;
  /** Called when a write to disk failed; it is repeated. Must not throw. */
  readonly onProblem?: (error: unknown) => void;
};

/**
 * Writes are visible at once, from memory, and wait for the disk together: delivery does not wait, and 50
 * commits a second leave the disk to the log.
 */
const COMMIT_DELAY_MS = 20;

/** Unwritten conversations and rows above which writers wait: some seconds of a slow disk, about 20 MB. */
const UNWRITTEN_MAX = 50_000;

/** A disk that is full may have room again soon, and an operator should not have to wait longer than this. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5000;

/** Rows that are read before others get their turn: about a millisecond. */
const ROWS_PER_TURN = 1000;

const DONE = Promise.resolve();

/** Opens the store, or creates it. Disposing it writes what waits; a write that then fails is given up. */
export function createLmdbInboxStore(options: LmdbInboxStoreOptions): InboxStore {
  return new LmdbInboxStore(options);
}

class LmdbInboxStore implements InboxStore {
  readonly #tables: InboxTables;
  readonly #cache: ReturnType<typeof createConversationCache>;
  readonly #commitDelayMs: number;
  readonly #onProblem: (error: unknown) => void;
  readonly #backoff = createBackoff({ initialMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
  /** The number of the last write. */
  #touch: bigint;
  #unwritten = createUnwritten();
  #committing: Unwritten | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #disposed: Promise<void> | undefined;

  constructor(options: LmdbInboxStoreOptions) {
    this.#tables = openInboxTables(options.directory);
    this.#cache = createConversationCache(options.membershipsCachedMax);
    this.#commitDelayMs = options.commitDelayMs ?? COMMIT_DELAY_MS;
    this.#onProblem = options.onProblem ?? (() => undefined);
    this.#touch = this.#tables.readTouch();
  }

  async readIdentity(): Promise<LogIdentity | undefined> {
    return this.#tables.readIdentity();
  }

  async writeIdentity(identity: LogIdentity): Promise<void> {
    await this.#tables.writeIdentity(identity);
  }

  async readConversation(conversationId: string): Promise<Conversation | undefined> {
    return this.#find(conversationId)?.conversation;
  }

  write(write: InboxWrite): Written {
    if (this.#disposed !== undefined) {
      const durable = Promise.reject(new StoreClosedError("The inbox store is closed."));
      durable.catch(() => undefined);
      return { visible: DONE, durable };
    }
    const touch = ++this.#touch;
    if (write.conversation !== undefined) this.#writeConversation(write.conversation, touch);
    for (const change of write.rows) this.#writeRow(write.conversationId, change, touch);
    if (this.#unwritten.size > 0) this.#schedule(this.#commitDelayMs);
    return { visible: this.#room(), durable: this.#latest() };
  }

  async listByConversation(
    userId: string,
    afterConversationId: string,
    limit: number,
  ): Promise<readonly InboxItem[]> {
    return this.#rowsAfter(userId, afterConversationId, limit).map(([conversationId, { row }]) =>
      toInboxItem(conversationId, row, this.#findHead(conversationId).head),
    );
  }

  async listByNewest(
    userId: string,
    pageToken: string,
    limit: number,
  ): Promise<readonly InboxPageItem[]> {
    const reader = createPageReader(pageToken, this.#touch, limit);
    let after = "";
    for (;;) {
      const rows = this.#rowsAfter(userId, after, ROWS_PER_TURN);
      for (const [conversationId, stored] of rows) {
        const { touch, head } = this.#findHead(conversationId);
        const item = toInboxItem(conversationId, stored.row, head);
        reader.see({ item, touch: item.member && touch > stored.touch ? touch : stored.touch });
        after = conversationId;
      }
      if (rows.length < ROWS_PER_TURN) return reader.finish();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#close();
    return this.#disposed;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#running;
    clearTimeout(this.#timer);
    if (this.#unwritten.size > 0) await this.#commit();
    this.#unwritten.durable.reject(new StoreClosedError("The inbox store is closed."));
    await this.#tables.close();
  }

  #writeConversation(next: Conversation, touch: bigint): void {
    const known = this.#find(next.conversationId);
    const conversation = newerConversation(known?.conversation, next);
    const membersChanged = conversation.members !== known?.conversation.members;
    const moved = known === undefined || conversation.head.seq > known.conversation.head.seq;
    if (!membersChanged && !moved) return;
    const stored = { conversation, touch: moved ? touch : known.touch };
    this.#cache.set(stored);
    putConversation(this.#unwritten, stored, membersChanged);
  }

  #writeRow(conversationId: string, change: RowChange, touch: bigint): void {
    const { userId } = change;
    const known = this.#findRow(userId, conversationId);
    const row = changeRow(known?.row, change);
    if (row === undefined || row === known?.row) return;
    const stored = { row, touch: change.kind === "read" ? (known?.touch ?? touch) : touch };
    putRow(this.#unwritten, userId, conversationId, stored);
  }

  #find(conversationId: string): StoredConversation | undefined {
    const held =
      this.#cache.get(conversationId) ??
      this.#unwritten.conversations.get(conversationId) ??
      this.#committing?.conversations.get(conversationId);
    if (held !== undefined) return held;
    const stored = this.#tables.readConversation(conversationId);
    if (stored !== undefined) this.#cache.set(stored);
    return stored;
  }

  /** The head alone: listing an inbox must not push members into the cache. */
  #findHead(conversationId: string): Pick<StoredHead, "touch" | "head"> {
    const held =
      this.#unwritten.conversations.get(conversationId) ??
      this.#committing?.conversations.get(conversationId);
    if (held !== undefined) return { touch: held.touch, head: held.conversation.head };
    return this.#tables.readHead(conversationId) ?? { touch: 0n, head: NO_HEAD };
  }

  #findRow(userId: string, conversationId: string): StoredRow | undefined {
    return (
      this.#unwritten.rows.get(userId)?.get(conversationId) ??
      this.#committing?.rows.get(userId)?.get(conversationId) ??
      this.#tables.readRow(userId, conversationId)
    );
  }

  /** At most `limit` rows by conversation id; fewer only at the end. */
  #rowsAfter(userId: string, after: string, limit: number): [string, StoredRow][] {
    const rows = this.#tables.readRows(userId, after, limit);
    for (const unwritten of [this.#committing, this.#unwritten]) {
      for (const [conversationId, stored] of unwritten?.rows.get(userId) ?? []) {
        if (conversationId > after) rows.set(conversationId, stored);
      }
    }
    return [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, limit);
  }

  /** Resolves when there is room for more. */
  async #room(): Promise<void> {
    while (this.#unwritten.size > UNWRITTEN_MAX && this.#disposed === undefined) {
      await (this.#committing ?? this.#unwritten).durable.promise.catch(() => undefined);
    }
  }

  /** Resolves when everything written until now is durable. */
  #latest(): Promise<void> {
    const latest = this.#unwritten.size > 0 ? this.#unwritten : this.#committing;
    return latest?.durable.promise ?? DONE;
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== undefined || this.#running !== undefined) return;
    if (this.#disposed !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#commit().then((pauseMs) => {
        this.#running = undefined;
        if (this.#unwritten.size > 0) this.#schedule(pauseMs);
      });
    }, delayMs);
  }

  /** Writes what waits, in one transaction. Answers how long to wait before the next. */
  async #commit(): Promise<number> {
    const committing = this.#unwritten;
    this.#committing = committing;
    this.#unwritten = createUnwritten();
    try {
      await this.#tables.write(committing, this.#touch);
    } catch (error) {
      this.#committing = undefined;
      putBack(this.#unwritten, committing);
      this.#onProblem(error);
      return this.#backoff.next();
    }
    this.#committing = undefined;
    this.#backoff.reset();
    committing.durable.resolve();
    return this.#commitDelayMs;
  }
}
