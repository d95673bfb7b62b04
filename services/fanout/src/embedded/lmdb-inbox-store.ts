/** Inboxes in an LMDB file: the store of one process. */
import { createBackoff } from "@parley/platform/async/backoff";
import type { LogIdentity } from "@parley/platform/log/port";
import { type Database, open, type RootDatabase } from "lmdb";
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
import {
  decodeHead,
  decodeMembers,
  decodeRow,
  encodeHead,
  encodeMembers,
  encodeRow,
  encodeTouch,
  type StoredConversation,
  type StoredHead,
  type StoredRow,
} from "./inbox-encoding.ts";
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

/** Sorts behind every id. */
const LAST_ID = "\uffff";

const DONE = Promise.resolve();

/** Opens the store, or creates it. Disposing it writes what waits; a write that then fails is given up. */
export function createLmdbInboxStore(options: LmdbInboxStoreOptions): InboxStore {
  return new LmdbInboxStore(options);
}

/** After a crash the store is what was flushed, whatever of later writes happens to be in the file. */
function rootOptions(directory: string) {
  return { path: directory, encoding: "binary" as const, safeRestore: true };
}

class LmdbInboxStore implements InboxStore {
  readonly #root: RootDatabase<Buffer, string>;
  readonly #heads: Database<Buffer, string>;
  readonly #members: Database<Buffer, string>;
  readonly #rows: Database<Buffer, string[]>;
  readonly #meta: Database<Buffer, string>;
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
    const encoding = "binary";
    this.#root = open<Buffer, string>(rootOptions(options.directory));
    this.#heads = this.#root.openDB<Buffer, string>("heads", { encoding });
    this.#members = this.#root.openDB<Buffer, string>("members", { encoding });
    this.#rows = this.#root.openDB<Buffer, string[]>("rows", { encoding });
    this.#meta = this.#root.openDB<Buffer, string>("meta", { encoding });
    this.#cache = createConversationCache(options.membershipsCachedMax);
    this.#commitDelayMs = options.commitDelayMs ?? COMMIT_DELAY_MS;
    this.#onProblem = options.onProblem ?? (() => undefined);
    this.#touch = this.#meta.get("touch")?.readBigUInt64LE(0) ?? 0n;
  }

  async readIdentity(): Promise<LogIdentity | undefined> {
    const bytes = this.#meta.get("identity");
    return bytes === undefined ? undefined : (JSON.parse(bytes.toString()) as LogIdentity);
  }

  async writeIdentity({ epoch, partitionCount }: LogIdentity): Promise<void> {
    await this.#meta.put("identity", Buffer.from(JSON.stringify({ epoch, partitionCount })));
    await this.#root.flushed;
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
    await this.#root.close();
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
    const headBytes = this.#heads.getBinaryFast(conversationId);
    if (headBytes === undefined) return undefined;
    const { kind, touch, head } = decodeHead(headBytes);
    const memberBytes = this.#members.getBinaryFast(conversationId);
    if (memberBytes === undefined) throw new Error("A conversation has a head and no members.");
    const members = decodeMembers(memberBytes);
    const stored = { touch, conversation: { conversationId, kind, head, members } };
    this.#cache.set(stored);
    return stored;
  }

  /** The head alone: listing an inbox must not push members into the cache. */
  #findHead(conversationId: string): Pick<StoredHead, "touch" | "head"> {
    const held =
      this.#unwritten.conversations.get(conversationId) ??
      this.#committing?.conversations.get(conversationId);
    if (held !== undefined) return { touch: held.touch, head: held.conversation.head };
    const bytes = this.#heads.getBinaryFast(conversationId);
    return bytes === undefined ? { touch: 0n, head: NO_HEAD } : decodeHead(bytes);
  }

  #findRow(userId: string, conversationId: string): StoredRow | undefined {
    const held =
      this.#unwritten.rows.get(userId)?.get(conversationId) ??
      this.#committing?.rows.get(userId)?.get(conversationId);
    if (held !== undefined) return held;
    const bytes = this.#rows.getBinaryFast([userId, conversationId]);
    return bytes === undefined ? undefined : decodeRow(bytes);
  }

  /** At most `limit` rows by conversation id; fewer only at the end. */
  #rowsAfter(userId: string, after: string, limit: number): [string, StoredRow][] {
    const rows = new Map<string, StoredRow>();
    const start = after === "" ? [userId] : [userId, after];
    const range = { start, end: [userId, LAST_ID], exclusiveStart: true, limit };
    for (const { key, value } of this.#rows.getRange(range)) {
      rows.set(key[1] ?? "", decodeRow(value));
    }
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
      await this.#root.batch(() => this.#put(committing));
      await this.#root.flushed;
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

  #put({ conversations, membersChanged, rows }: Unwritten): void {
    for (const [conversationId, stored] of conversations) {
      this.#heads.put(conversationId, encodeHead(stored));
      if (!membersChanged.has(conversationId)) continue;
      this.#members.put(conversationId, encodeMembers(stored.conversation.members));
    }
    for (const [userId, byConversation] of rows) {
      for (const [conversationId, stored] of byConversation) {
        this.#rows.put([userId, conversationId], encodeRow(stored));
      }
    }
    this.#meta.put("touch", encodeTouch(this.#touch));
  }
}
