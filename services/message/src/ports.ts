/**
 * What the message service needs from a store. The comments are the specification: every adapter keeps
 * them, and `ports.contract.ts` is run on each.
 */
import type { LogIdentity } from "@parley/platform/log/port";
import type {
  ClosedWindow,
  ConversationState,
  RaisedReceipt,
  StoredReceipt,
  StoredRow,
} from "./domain/conversation.ts";
import type { DedupeEntry, DedupeKey } from "./domain/dedupe.ts";

/**
 * Rows are kept in partitions of (conversation, bucket), where bucket = seq / ROWS_PER_BUCKET rounded
 * down: with rows of 1 KiB a partition stays near 10 MiB, which wide-column stores compact and repair
 * comfortably. A store without partitions need not know of it.
 */
export const ROWS_PER_BUCKET = 10_000;

/** Where a store stands in one partition of topic `messages`. */
export type Checkpoint = {
  /** Replay starts here: everything before is applied, on disk, and dispatched. */
  readonly replayOffset: number;
  /** No row, head or dedupe entry of the store comes from this offset or a later one. */
  readonly endOffset: number;
};

/** A record that nobody can decode. */
export type StoredParkedRecord = {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** In ms since the Unix epoch. */
  readonly appendTimeMs: number;
  readonly sizeBytes: number;
  readonly reason: string;
};

/** What consecutive records of one conversation made of it. */
export type ConversationWrite = {
  /** The conversation after the last of them. */
  readonly state: ConversationState;
  readonly dedupe: readonly DedupeEntry[];
  /** In order of `seq`, without a gap. */
  readonly rows: readonly StoredRow[];
  readonly closedWindows: readonly ClosedWindow[];
  /** Present members that are new or changed; their values are in `state`. Disjoint from `membersRemoved`. */
  readonly membersPut: readonly string[];
  readonly membersRemoved: readonly string[];
  /** Positions that sending moved. They raise what is stored and never lower it. */
  readonly receipts: readonly StoredReceipt[];
};

/** What one batch of one partition writes. */
export type StoreBatch = {
  readonly partition: number;
  /** At most one per conversation. */
  readonly conversations: readonly ConversationWrite[];
  readonly parked: readonly StoredParkedRecord[];
  readonly checkpoint: Checkpoint;
};

/** How far a write has come. */
export type StoreWrite = {
  /**
   * Everything in the batch can be read through this store, by everybody who reads the store. Where replay
   * starts may follow a moment later, unless the batch holds nothing else.
   */
  readonly readable: Promise<void>;
  /** The batch, and all before it, survives the loss of power. Rejects only when the store is disposed first. */
  readonly durable: Promise<void>;
};

export type ReadRowsQuery = {
  readonly conversationId: string;
  /** The first row to return. */
  readonly fromSeq: number;
  /** The last row to return; before `fromSeq` to read towards older rows. */
  readonly toSeq: number;
  readonly rowsMax: number;
  /** Bytes of events; the first row is returned however large it is. */
  readonly bytesMax: number;
};

/**
 * Messages and what belongs to them, derived from the log.
 *
 * **Writes.** `write` is called with batches in offset order within a partition, one at a time until it is
 * `readable`. An adapter with transactions makes a batch atomic, its checkpoint included: after a crash the
 * store is as after some batch, for all partitions together or each for itself.
 *
 * An adapter without transactions writes in this order, each step finished before the next begins:
 *   1. `checkpoint.endOffset`, raised, never lowered;
 *   2. per conversation (conversations side by side): dedupe entries, rows, closed windows and receipts, in any
 *      order; then head, present members and their removal as one atomic write (they share a partition);
 *   3. parked records; then `checkpoint.replayOffset`.
 * A crash between any two of these leaves rows, entries and windows beyond the head. Applying their records
 * again writes the same bytes over them, because they are a function of the log and of the head, which has
 * not moved. Were the members written before the head, they would not be: a message whose record comes just
 * before its sender's removal would be refused on replay, and had been accepted.
 *
 * **Late writes.** An instance that lost its partition and does not know it (a zombie) may write at any time
 * what it computed before. Its rows, windows and dedupe entries are those that are there. Its head and
 * members lose: head, present members and removals are written with the timestamp `lastProcessedOffset`
 * (with the log's epoch above it), so that an older one never replaces a newer one. Receipts are written with
 * their position as timestamp, checkpoints with their offset.
 *
 * **Dedupe entries.** `findDedupe` must find the newest entry *below* an offset. Without transactions
 * entries therefore have their offset in their key and are never overwritten. Example of what else happens:
 * a message is accepted at offset 4, repeated within the window at 5, and used again after the window at 6;
 * a crash leaves 6's entry but not the head; replay of 5 would find 6, which hides 4, and would accept it.
 * With atomic batches nobody asks for an offset that the head has passed, and one entry per key is enough.
 *
 * **Errors.** A rejection means that nothing can be said about the write; the same batch is written again.
 */
export interface MessageStore extends AsyncDisposable {
  /**
   * The log that this store is derived from. On an empty store, keeps `identity` and returns it; otherwise
   * returns what was kept first and changes nothing.
   */
  bindLog(identity: LogIdentity): Promise<LogIdentity>;

  /** The checkpoint of a partition; undefined before its first write. */
  loadCheckpoint(partition: number): Promise<Checkpoint | undefined>;

  /** Heads with their present members; conversations without a head are left out. */
  loadConversations(
    conversationIds: readonly string[],
  ): Promise<ReadonlyMap<string, ConversationState>>;

  /** For each query, the key's entry with the greatest offset below `beforeOffset`, if there is one. */
  findDedupe(
    queries: readonly { readonly key: DedupeKey; readonly beforeOffset: number }[],
  ): Promise<readonly (DedupeEntry | undefined)[]>;

  /** Writes a batch. Bounded: `readable` also waits until the store has room for more. */
  write(batch: StoreBatch): StoreWrite;

  /**
   * True while writes fail and what may wait for them is used up: the next batch will not be `readable`
   * before they succeed again, so callers are better refused than taken into the log and kept waiting.
   */
  readonly full: boolean;

  /**
   * Rows from `fromSeq` to `toSeq`, both included. Stops at the first row that is missing: what lies behind
   * a gap was written by somebody whose earlier writes have not arrived, and is not there yet.
   */
  readRows(query: ReadRowsQuery): Promise<readonly StoredRow[]>;

  /**
   * The first row, up to `lastSeq`, whose value is at least `value`; undefined if there is none. All three
   * never fall with `seq`, so it takes a logarithmic number of reads, or an index: one row per bucket with its
   * first message id is enough to find the bucket of a date.
   */
  findRow(
    conversationId: string,
    lastSeq: number,
    by: "messageId" | "offset" | "membershipVersion",
    value: bigint,
  ): Promise<StoredRow | undefined>;

  /** The memberships of a person that have ended, oldest first; the newest WINDOWS_PER_PERSON_MAX of them. */
  readClosedWindows(conversationId: string, userId: string): Promise<readonly ClosedWindow[]>;

  /** The people's positions, in the order asked for; zeros for whoever has none. */
  readReceipts(
    conversationId: string,
    userIds: readonly string[],
  ): Promise<readonly StoredReceipt[]>;

  /**
   * Raises a person's positions and returns them as stored, and whether this call raised the delivered one:
   * of several with the same positions, one did. They are in no log: it resolves when they survive the loss
   * of power. Rejects with `UNAVAILABLE` / `STORE_NOT_WRITABLE`, without having raised
   * anything, when there is no room for what has to wait; and when the store is disposed first.
   */
  raiseReceipt(conversationId: string, receipt: StoredReceipt): Promise<RaisedReceipt>;

  /** Parked records behind a place, by topic, partition and offset. */
  readParked(
    after: Pick<StoredParkedRecord, "topic" | "partition" | "offset"> | undefined,
    recordsMax: number,
  ): Promise<readonly StoredParkedRecord[]>;

  /**
   * Removes dedupe entries that were accepted before a time, at most about `entriesMax` of them. True if
   * there may be more. The caller leaves time for the window and for the log's retention, so that no record
   * that can still be applied would have found them.
   */
  purgeDedupe(beforeMs: number, entriesMax: number): Promise<boolean>;
}
