/** Inboxes in an LMDB file: the store of one process. */
import { createBackoff } from "@parley/platform/async/backoff";
import type { LogIdentity } from "@parley/platform/log/port";
import { type Conversation, NO_HEAD, newerConversation } from "../domain/conversation.ts";
import { changeRow, type InboxItem, type RowChange, toInboxItem } from "../domain/inbox-row.ts";
import {
  type InboxPageItem,
  type InboxStore,
  type InboxWrite,
  type LogPlace,
  StoreClosedError,
  type Written,
} from "../ports.ts";
import { createCommitTimer } from "./commit-timer.ts";
import { createConversationCache } from "./conversation-cache.ts";
import type { StoredConversation, StoredHead, StoredRow } from "./inbox-encoding.ts";
import { type InboxTables, openInboxTables } from "./inbox-tables.ts";
import { createLogPlaces, type LogPlaces } from "./log-places.ts";
import { createPageReader } from "./newest-pages.ts";
import { createUnwritten, putBack, putConversation, putRow, type Unwritten } from "./unwritten.ts";

export type LmdbInboxStoreOptions = {
  /** Directory of this store alone; created if missing. */
  readonly directory: string;
  /** Memberships that are held in memory; about 100 bytes each. */
  readonly membershipsCachedMax: number;
  /** How long writes are collected before they go to disk, in ms; default COMMIT_DELAY_MS. */
  readonly commitDelayMs?: number;
  /** Called when writes to disk begin to fail; they are repeated. Must not throw. */
  readonly onProblem?: (error: unknown) => void;
  /** Called when one succeeds again. Must not throw. */
  readonly onRecovered?: () => void;
};

/**
 * Writes are visible at once, from memory, and wait for the disk together: delivery does not wait, and 50
 * commits a second leave the disk to the log.
 */
const COMMIT_DELAY_MS = 20;

/** Places alone do not hurry: a second sync for each message would compete with the log's. */
const PLACE_DELAY_MS = 100;

/** Unwritten conversations and rows above which writers wait: some seconds of a slow disk, about 20 MB. */
const UNWRITTEN_MAX = 50_000;

/** A disk that is full may have room again soon, and an operator should not have to wait longer than this. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5000;

/** Rows that are read before others get their turn: about a millisecond. */
const ROWS_PER_TURN = 1000;

const DONE = Promise.resolve();

/**
 * Opens the store, or creates it. Disposing it writes what waits; a write that then fails is given up.
 * Throws InboxOpenError.
 */
export function createLmdbInboxStore(options: LmdbInboxStoreOptions): InboxStore {
  return new LmdbInboxStore(options);
}

class LmdbInboxStore implements InboxStore {
  readonly #tables: InboxTables;
  readonly #cache: ReturnType<typeof createConversationCache>;
  readonly #commitDelayMs: number;
  readonly #onProblem: (error: unknown) => void;
  readonly #onRecovered: () => void;
  readonly #timer = createCommitTimer(() => this.#begin());
  readonly #backoff = createBackoff({ initialMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
  /** The number of the last write. */
  #touch: bigint;
  readonly #places: LogPlaces;
  #unwritten = createUnwritten();
  #committing: Unwritten | undefined;
  #running: Promise<void> | undefined;
  #failing = false;
  #disposed: Promise<void> | undefined;

  constructor(options: LmdbInboxStoreOptions) {
    this.#tables = openInboxTables(options.directory);
    this.#cache = createConversationCache(options.membershipsCachedMax);
    this.#commitDelayMs = options.commitDelayMs ?? COMMIT_DELAY_MS;
    this.#onProblem = options.onProblem ?? (() => undefined);
    this.#onRecovered = options.onRecovered ?? (() => undefined);
    this.#touch = this.#tables.readTouch();
    const partitionCount = this.#tables.readIdentity()?.partitionCount;
    this.#places = createLogPlaces(this.#tables.readPlaces(), partitionCount);
  }

  async readIdentity(): Promise<LogIdentity | undefined> {
    return this.#tables.readIdentity();
  }

  async writeIdentity(identity: LogIdentity): Promise<void> {
    await this.#tables.writeIdentity(identity);
    this.#places.partitionCount = identity.partitionCount;
  }

  async readPlace(partition: number): Promise<LogPlace | undefined> {
    return this.#places.get(partition);
  }

  saveReplayOffset(partition: number, replayOffset: number): Promise<void> {
    if (this.#disposed !== undefined) return closed();
    this.#places.saveReplayOffset(this.#unwritten, partition, replayOffset);
    this.#schedule();
    return this.#unwritten.durable.promise;
  }

  get full(): boolean {
    return this.#unwritten.size > UNWRITTEN_MAX;
  }

  async readConversation(conversationId: string): Promise<Conversation | undefined> {
    return this.#find(conversationId)?.conversation;
  }

  write(write: InboxWrite): Written {
    if (this.#disposed !== undefined) return { visible: DONE, durable: closed() };
    const touch = ++this.#touch;
    if (write.conversation !== undefined) this.#writeConversation(write.conversation, touch);
    for (const change of write.rows) this.#writeRow(write.conversationId, change, touch);
    this.#schedule();
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
    this.#timer.cancel();
    await this.#running;
    if (this.#waits()) await this.#commit();
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
    if (moved) this.#places.noteHead(this.#unwritten, conversation);
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
    while (this.full && this.#disposed === undefined) {
      await (this.#committing ?? this.#unwritten).durable.promise.catch(() => undefined);
    }
  }

  /** Resolves when everything written until now is durable. */
  #latest(): Promise<void> {
    const latest = this.#unwritten.size > 0 ? this.#unwritten : this.#committing;
    return latest?.durable.promise ?? DONE;
  }

  #waits(): boolean {
    return this.#unwritten.size > 0 || this.#unwritten.places.size > 0;
  }

  #schedule(): void {
    if (!this.#waits() || this.#running !== undefined || this.#disposed !== undefined) return;
    this.#timer.soon(this.#unwritten.size > 0 ? this.#commitDelayMs : PLACE_DELAY_MS);
  }

  #begin(): void {
    this.#running = this.#commit().then((written) => {
      this.#running = undefined;
      if (this.#disposed !== undefined) return;
      if (written) this.#schedule();
      else this.#timer.pause(this.#backoff.next());
    });
  }

  /** Writes what waits, in one transaction. False if that failed: it waits again then. */
  async #commit(): Promise<boolean> {
    const committing = this.#unwritten;
    this.#committing = committing;
    this.#unwritten = createUnwritten();
    try {
      await this.#tables.write(committing, this.#touch);
    } catch (error) {
      this.#committing = undefined;
      putBack(this.#unwritten, committing);
      if (!this.#failing) this.#onProblem(error);
      this.#failing = true;
      return false;
    }
    this.#committing = undefined;
    this.#backoff.reset();
    committing.durable.resolve();
    if (this.#failing) this.#onRecovered();
    this.#failing = false;
    return true;
  }
}

function closed(): Promise<never> {
  const rejected = Promise.reject(new StoreClosedError("The inbox store is closed."));
  // Whoever does not wait for it need not handle its rejection either.
  rejected.catch(() => undefined);
  return rejected;
}
