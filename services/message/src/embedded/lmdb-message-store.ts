import { unavailable } from "@parley/platform/errors";
import type { LogIdentity } from "@parley/platform/log/port";
import {
  type ClosedWindow,
  type ConversationState,
  noReceipt,
  type RaisedReceipt,
  type StoredReceipt,
  type StoredRow,
} from "../domain/conversation.ts";
import type { DedupeEntry, DedupeKey } from "../domain/dedupe.ts";
import { WINDOWS_PER_PERSON_MAX } from "../domain/window.ts";
import type {
  Checkpoint,
  MessageStore,
  ReadRowsQuery,
  StoreBatch,
  StoredParkedRecord,
  StoreWrite,
} from "../ports.ts";
import { createGroupCommit, type GroupCommit, StoreDisposedError } from "./group-commit.ts";
import { conversationKey, decodeWindow, parkedKey, windowKey } from "./lmdb-layout.ts";
import { AFTER_ALL, LmdbReader } from "./lmdb-reader.ts";
import { commitLayer, openTables, purgeDedupe, type Tables } from "./lmdb-tables.ts";

export type LmdbMessageStoreOptions = {
  /** Directory of this store alone; created if missing. */
  readonly directory: string;
  /**
   * Called for each commit that failed, with the number of failures in a row; what is in it stays readable,
   * and is tried again. Must not throw.
   */
  readonly onProblem: (error: unknown, attempt: number) => void;
  /** Called when a commit succeeds after one that failed. */
  readonly onRecovered?: () => void;
  /** How long writes are collected before they are committed, in ms; default 20. */
  readonly commitDelayMs?: number;
};

export type LmdbMessageStore = MessageStore & {
  /** Resolves when everything that was written before the call is on disk. */
  flush(): Promise<void>;
};

/**
 * Opens the store of one process. Writes are readable as soon as `write` returns, from memory; they are
 * committed together, each commit with the checkpoints that belong to it, so that replay after a crash or
 * a power loss starts at what is on disk. A copy of the directory taken between two commits is what a
 * power loss leaves. While the disk takes no writes, they are tried again with growing pauses; two layers of
 * them are kept in memory. Disposing it tries once more what waits. Rejects with MessageStoreOpenError.
 */
export async function createLmdbMessageStore(
  options: LmdbMessageStoreOptions,
): Promise<LmdbMessageStore> {
  const tables = openTables(options.directory);
  const commits = createGroupCommit({
    commit: (layer) => commitLayer(tables, layer),
    onProblem: options.onProblem,
    onRecovered: options.onRecovered ?? (() => undefined),
    ...(options.commitDelayMs === undefined ? {} : { delayMs: options.commitDelayMs }),
  });
  return new LmdbStore(tables, commits);
}

const LOG_KEY = Buffer.from("log");
const READABLE = Promise.resolve();

/** The pauses between attempts grow to 5 s; a device that asks sooner only asks again. */
const RETRY_AFTER_MS = 2000;

class LmdbStore implements LmdbMessageStore {
  readonly #tables: Tables;
  readonly #commits: GroupCommit;
  readonly #reader: LmdbReader;

  constructor(tables: Tables, commits: GroupCommit) {
    this.#tables = tables;
    this.#commits = commits;
    this.#reader = new LmdbReader(tables, commits);
  }

  async bindLog(identity: LogIdentity): Promise<LogIdentity> {
    const { meta, commit } = this.#tables;
    const stored = meta.getBinary(LOG_KEY);
    if (stored !== undefined) return JSON.parse(stored.toString()) as LogIdentity;
    const { epoch, partitionCount } = identity;
    const bytes = Buffer.from(JSON.stringify({ epoch, partitionCount }));
    await commit(() => void meta.put(LOG_KEY, bytes));
    return identity;
  }

  get full(): boolean {
    return this.#commits.failing && this.#commits.full;
  }

  async loadCheckpoint(partition: number): Promise<Checkpoint | undefined> {
    return this.#reader.checkpoint(partition);
  }

  async loadConversations(
    conversationIds: readonly string[],
  ): Promise<ReadonlyMap<string, ConversationState>> {
    const found = new Map<string, ConversationState>();
    for (const conversationId of conversationIds) {
      const state = this.#reader.load(conversationId);
      if (state !== undefined) found.set(conversationId, state);
    }
    return found;
  }

  async findDedupe(
    queries: readonly { readonly key: DedupeKey; readonly beforeOffset: number }[],
  ): Promise<readonly (DedupeEntry | undefined)[]> {
    return queries.map(({ key, beforeOffset }) => {
      const entry = this.#reader.dedupe(key);
      return entry !== undefined && entry.offset < beforeOffset ? entry : undefined;
    });
  }

  write(batch: StoreBatch): StoreWrite {
    const { filling } = this.#commits;
    for (const write of batch.conversations) {
      if (this.#reader.isStale(write.state)) continue;
      filling.addConversation(write);
      const { conversationId } = write.state;
      for (const receipt of write.receipts) this.#raise(conversationId, receipt);
    }
    filling.addCheckpoint(batch, this.#reader.checkpoint(batch.partition));
    const durable = filling.durable.promise;
    return { readable: this.#commits.changed() ?? READABLE, durable };
  }

  async readRows(query: ReadRowsQuery): Promise<readonly StoredRow[]> {
    const { conversationId, fromSeq, toSeq, rowsMax, bytesMax } = query;
    const key = conversationKey(conversationId);
    const step = toSeq < fromSeq ? -1 : 1;
    const rows: StoredRow[] = [];
    let bytes = 0;
    for (let seq = fromSeq; step * (toSeq - seq) >= 0 && rows.length < rowsMax; seq += step) {
      const row = this.#reader.row(conversationId, key, seq);
      if (row === undefined) break;
      bytes += row.event.byteLength;
      if (bytes > bytesMax && rows.length > 0) break;
      rows.push(row);
    }
    return rows;
  }

  async findRow(
    conversationId: string,
    lastSeq: number,
    by: "messageId" | "offset" | "membershipVersion",
    value: bigint,
  ): Promise<StoredRow | undefined> {
    const key = conversationKey(conversationId);
    let found: StoredRow | undefined;
    let low = 1;
    let high = lastSeq;
    while (low <= high) {
      const middle = Math.floor((low + high) / 2);
      const row = this.#reader.row(conversationId, key, middle);
      if (row === undefined || BigInt(row[by]) >= value) {
        found = row ?? found;
        high = middle - 1;
      } else {
        low = middle + 1;
      }
    }
    return found;
  }

  async readClosedWindows(
    conversationId: string,
    userId: string,
  ): Promise<readonly ClosedWindow[]> {
    const start = windowKey(conversationKey(conversationId), userId);
    // In reverse, LMDB's start is the upper end.
    const range = this.#tables.windows.getRange({
      start: Buffer.concat([start, Buffer.alloc(9, 0xff)]),
      end: start,
      reverse: true,
      limit: WINDOWS_PER_PERSON_MAX,
    });
    const windows = new Map<number, ClosedWindow>();
    for (const { key, value } of range) {
      const window = decodeWindow(userId, key, value);
      windows.set(window.joinedSeq, window);
    }
    for (const layer of this.#commits.layers) {
      for (const window of layer.conversations.get(conversationId)?.windows ?? []) {
        if (window.userId === userId) windows.set(window.joinedSeq, window);
      }
    }
    const sorted = [...windows.values()].sort((a, b) => a.joinedSeq - b.joinedSeq);
    return sorted.slice(-WINDOWS_PER_PERSON_MAX);
  }

  async readReceipts(
    conversationId: string,
    userIds: readonly string[],
  ): Promise<readonly StoredReceipt[]> {
    return userIds.map(
      (userId) => this.#reader.receipt(conversationId, userId) ?? noReceipt(userId),
    );
  }

  async raiseReceipt(conversationId: string, receipt: StoredReceipt): Promise<RaisedReceipt> {
    // It would be kept in memory until the disk takes writes again: the device sends its position again.
    if (this.#commits.full) throw notWritable();
    const { filling } = this.#commits;
    const raised = this.#raise(conversationId, receipt);
    this.#commits.changed();
    try {
      // What did not grow may still be on its way to the disk, from the call before.
      await (filling.isEmpty ? this.#commits.flush() : filling.durable.promise);
    } catch (error) {
      throw error instanceof StoreDisposedError ? notWritable(error) : error;
    }
    return raised;
  }

  async readParked(
    after: Pick<StoredParkedRecord, "topic" | "partition" | "offset"> | undefined,
    recordsMax: number,
  ): Promise<readonly StoredParkedRecord[]> {
    const start =
      after === undefined
        ? Buffer.alloc(1)
        : parkedKey(after.topic, after.partition, after.offset + 1);
    const found = new Map<string, StoredParkedRecord>();
    const range = this.#tables.parked.getRange({ start, end: AFTER_ALL, limit: recordsMax });
    for (const { key, value } of range)
      found.set(key.toString("hex"), JSON.parse(value.toString()));
    for (const record of this.#commits.layers.flatMap(({ parked }) => parked)) {
      const key = parkedKey(record.topic, record.partition, record.offset);
      if (Buffer.compare(key, start) >= 0) found.set(key.toString("hex"), record);
    }
    return [...found]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, recordsMax)
      .map(([, record]) => record);
  }

  async purgeDedupe(beforeMs: number, entriesMax: number): Promise<boolean> {
    // It can wait, and the failure is known already.
    if (this.#commits.failing) return false;
    return await purgeDedupe(this.#tables, beforeMs, entriesMax);
  }

  flush(): Promise<void> {
    return this.#commits.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#commits[Symbol.asyncDispose]();
    await this.#tables.root.close();
  }

  #raise(conversationId: string, receipt: StoredReceipt): RaisedReceipt {
    const known = this.#reader.receipt(conversationId, receipt.userId);
    return this.#commits.filling.raiseReceipt(conversationId, receipt, known);
  }
}

function notWritable(cause?: unknown): Error {
  const text = "The message store cannot be written at the moment.";
  return unavailable("STORE_NOT_WRITABLE", text, { retryAfterMs: RETRY_AFTER_MS, cause });
}
