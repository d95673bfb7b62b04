import type { Clock } from "@parley/platform/clock";
import { systemClock } from "@parley/platform/clock";
import { reasonOf, unavailable } from "@parley/platform/errors";
import type { LogIdentity } from "@parley/platform/log/port";
import {
  type CassandraSession,
  type CassandraTuning,
  connectCassandra,
} from "@parley/platform/storage/engine/cassandra";
import {
  CassandraOverloadedError,
  CassandraUnavailableError,
} from "@parley/platform/storage/engine/cassandra-client";
import type { CassandraConfig } from "@parley/platform/storage/engine/cassandra-config";
import { checkCassandraSchema } from "@parley/platform/storage/engine/cassandra-migrations";
import { RequestSlotsError } from "@parley/platform/storage/engine/request-slots";
import type {
  ClosedWindow,
  ConversationState,
  RaisedReceipt,
  StoredReceipt,
} from "../domain/conversation.ts";
import type { DedupeEntry, DedupeKey } from "../domain/dedupe.ts";
import { WINDOWS_PER_PERSON_MAX } from "../domain/window.ts";
import {
  type Checkpoint,
  type MessageStore,
  type ReadRowsQuery,
  ROWS_PER_BUCKET,
  type StoreBatch,
  type StoredParkedRecord,
  type StoreWrite,
} from "../ports.ts";
import { createReceipts, type Receipts } from "./cassandra-receipts.ts";
import { createRowReader, type RowReader } from "./cassandra-rows.ts";
import {
  toCheckpoint,
  toClosedWindow,
  toDedupeEntry,
  toParkedRecord,
  toState,
} from "./cassandra-values.ts";
import { type CassandraWriter, createWriter, PARKED_SHELF } from "./cassandra-writer.ts";
import { messageSchema } from "./migrations.ts";

export type CassandraMessageStoreOptions = {
  readonly config: CassandraConfig;
  /** How long dedupe entries are kept, in ms: the window, and how late a record may still be applied. */
  readonly dedupeKeptMs: number;
  /** Called for each batch that failed, with the number of failures in a row. Must not throw. */
  readonly onProblem: (error: unknown, attempt: number) => void;
  /** Called when a batch succeeds after one that failed. */
  readonly onRecovered?: () => void;
  /** Changes how the cluster is asked; the defaults are meant for every installation. */
  readonly tuning?: Partial<CassandraTuning>;
};

/**
 * Opens the store on a keyspace that was migrated. Rejects with CassandraSchemaError, which names
 * `parley migrate`, when the tables are not those of this version; with CassandraUnavailableError when no node
 * can be reached; with SettingError when a setting does not fit the cluster.
 *
 * What is readable is on the disks of a quorum if the nodes sync before they answer (`commitlog_sync: group` or
 * `batch`), so a write is durable as soon as it is readable.
 */
export async function createCassandraMessageStore(
  options: CassandraMessageStoreOptions,
): Promise<MessageStore> {
  const { config, tuning } = options;
  const session = await connectCassandra({ config, applicationName: "parley message", ...tuning });
  try {
    await checkCassandraSchema(session, messageSchema());
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
  return createStoreOn(session, options);
}

export type StoreOnSessionOptions = Omit<CassandraMessageStoreOptions, "config" | "tuning"> & {
  /** The log's epoch as a number; default 1, because a store never has another log than its first. */
  readonly epochNumber?: number;
  /** Default ROWS_PER_BUCKET; fixed for the life of a keyspace. */
  readonly rowsPerBucket?: number;
  readonly clock?: Pick<Clock, "monotoneMs">;
};

/** The store on a session, which it disposes of. */
export function createStoreOn(
  session: CassandraSession,
  options: StoreOnSessionOptions,
): MessageStore {
  return new CassandraStore(session, options);
}

/**
 * How long appends are refused after a batch that could not be written. The batch comes again from the log, and
 * says by then whether that is over; if it does not, because its partition moved away, the next append may try.
 */
const FULL_MS = 15_000;
const RETRY_AFTER_MS = 2000;
const NOT_READABLE = "STORE_NOT_READABLE";

const CLAIM_LOG =
  "INSERT INTO message_log (name, epoch, partition_count) VALUES ('log', ?, ?) IF NOT EXISTS";
const SELECT_CHECKPOINT =
  "SELECT replay_offset, end_offset FROM message_checkpoints WHERE log_partition = ?";
const SELECT_CONVERSATION = "SELECT * FROM conversations WHERE conversation_id = ?";
const SELECT_DEDUPE =
  "SELECT log_offset, seq, message_id, append_time_ms FROM message_dedupe WHERE conversation_id = ? " +
  "AND user_id = ? AND device_id = ? AND client_message_id = ? AND log_offset < ? LIMIT 1";
const SELECT_WINDOWS =
  "SELECT joined_seq, left_seq FROM closed_windows WHERE conversation_id = ? AND user_id = ? LIMIT ?";
const SELECT_PARKED_FIRST = "SELECT * FROM parked_records WHERE shelf = ? LIMIT ?";
const SELECT_PARKED_AFTER =
  "SELECT * FROM parked_records WHERE shelf = ? AND (topic, log_partition, log_offset) > (?, ?, ?) LIMIT ?";

class CassandraStore implements MessageStore {
  readonly #session: CassandraSession;
  readonly #writer: CassandraWriter;
  readonly #rows: RowReader;
  readonly #receipts: Receipts;
  readonly #options: StoreOnSessionOptions;
  readonly #clock: Pick<Clock, "monotoneMs">;
  /** Batches that failed in a row, and when the last one did. */
  #failures = 0;
  #failedMs = Number.NEGATIVE_INFINITY;
  #disposed = false;

  constructor(session: CassandraSession, options: StoreOnSessionOptions) {
    const { epochNumber = 1, rowsPerBucket = ROWS_PER_BUCKET, clock = systemClock } = options;
    this.#session = session;
    this.#options = options;
    this.#clock = clock;
    const dedupeTtlSeconds = Math.ceil(options.dedupeKeptMs / 1000);
    this.#writer = createWriter(session, { epochNumber, rowsPerBucket, dedupeTtlSeconds });
    const read: CassandraSession["read"] = (...query) => this.#read(...query);
    this.#rows = createRowReader({ read }, rowsPerBucket);
    this.#receipts = createReceipts({ read }, this.#writer);
  }

  async bindLog({ epoch, partitionCount }: LogIdentity): Promise<LogIdentity> {
    const claim = { query: CLAIM_LOG, params: [epoch, partitionCount] };
    const kept = await this.#session.writeIfAbsent(claim);
    if (kept === undefined) return { epoch, partitionCount };
    return { epoch: String(kept.epoch), partitionCount: Number(kept.partition_count) };
  }

  async loadCheckpoint(partition: number): Promise<Checkpoint | undefined> {
    const [row] = await this.#read(SELECT_CHECKPOINT, [partition]);
    return row === undefined ? undefined : toCheckpoint(row);
  }

  async loadConversations(
    conversationIds: readonly string[],
  ): Promise<ReadonlyMap<string, ConversationState>> {
    const states = await Promise.all(
      conversationIds.map(async (id) => toState(id, await this.#read(SELECT_CONVERSATION, [id]))),
    );
    const found = states.filter((state) => state !== undefined);
    return new Map(found.map((state) => [state.conversationId, state]));
  }

  async findDedupe(
    queries: readonly { readonly key: DedupeKey; readonly beforeOffset: number }[],
  ): Promise<readonly (DedupeEntry | undefined)[]> {
    return await Promise.all(
      queries.map(async ({ key, beforeOffset }) => {
        const { conversationId, userId, deviceId, clientMessageId } = key;
        const params = [conversationId, userId, deviceId, clientMessageId, BigInt(beforeOffset)];
        const [row] = await this.#read(SELECT_DEDUPE, params);
        return row === undefined ? undefined : toDedupeEntry(key, row);
      }),
    );
  }

  write(batch: StoreBatch): StoreWrite {
    const durable = Promise.withResolvers<void>();
    // Whoever does not ask for it does not miss its rejection.
    durable.promise.catch(() => undefined);
    const readable = this.#writer.write(batch).then(
      () => {
        this.#succeeded();
        durable.resolve();
      },
      (error: unknown) => {
        if (this.#disposed) durable.reject(error);
        else this.#failed(batch, error);
        throw error;
      },
    );
    return { readable, durable: durable.promise };
  }

  /** Nothing waits in memory here, so whatever fails has used up what may wait. */
  get full(): boolean {
    return this.#failures > 0 && this.#clock.monotoneMs() - this.#failedMs < FULL_MS;
  }

  readRows(query: ReadRowsQuery) {
    return this.#rows.readRows(query);
  }

  findRow(...query: Parameters<MessageStore["findRow"]>) {
    return this.#rows.findRow(...query);
  }

  async readClosedWindows(
    conversationId: string,
    userId: string,
  ): Promise<readonly ClosedWindow[]> {
    const params = [conversationId, userId, WINDOWS_PER_PERSON_MAX];
    const rows = await this.#read(SELECT_WINDOWS, params);
    return rows.map((row) => toClosedWindow(userId, row)).reverse();
  }

  readReceipts(conversationId: string, userIds: readonly string[]) {
    return this.#receipts.read(conversationId, userIds);
  }

  async raiseReceipt(conversationId: string, receipt: StoredReceipt): Promise<RaisedReceipt> {
    if (this.full) throw notWritable();
    try {
      return await this.#receipts.raise(conversationId, receipt);
    } catch (error) {
      throw isUnavailable(error) ? notWritable(error) : error;
    }
  }

  async readParked(
    after: Pick<StoredParkedRecord, "topic" | "partition" | "offset"> | undefined,
    recordsMax: number,
  ): Promise<readonly StoredParkedRecord[]> {
    const rows =
      after === undefined
        ? await this.#read(SELECT_PARKED_FIRST, [PARKED_SHELF, recordsMax])
        : await this.#read(SELECT_PARKED_AFTER, [
            PARKED_SHELF,
            after.topic,
            after.partition,
            BigInt(after.offset),
            recordsMax,
          ]);
    return rows.map(toParkedRecord);
  }

  /**
   * Entries expire by themselves, each `dedupeKeptMs` after it was written, which is after it was accepted.
   * Removing them here would leave a tombstone for each, and take an index by time to find them.
   */
  async purgeDedupe(): Promise<boolean> {
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await this.#session[Symbol.asyncDispose]();
  }

  /** Callers repeat what could not be read. */
  async #read(...query: Parameters<CassandraSession["read"]>) {
    try {
      return await this.#session.read(...query);
    } catch (error) {
      throw isUnavailable(error) ? notReadable(error) : error;
    }
  }

  #succeeded(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#options.onRecovered?.();
  }

  #failed(batch: StoreBatch, error: unknown): void {
    // A checkpoint alone is not written again: appends would be refused without anything that ends it.
    const comesAgain = batch.conversations.length > 0 || batch.parked.length > 0;
    if (!comesAgain) return;
    this.#failures++;
    this.#failedMs = this.#clock.monotoneMs();
    this.#options.onProblem(error, this.#failures);
  }
}

function isUnavailable(error: unknown): boolean {
  return (
    error instanceof CassandraUnavailableError ||
    error instanceof CassandraOverloadedError ||
    error instanceof RequestSlotsError ||
    reasonOf(error) === NOT_READABLE
  );
}

function notWritable(cause?: unknown): Error {
  const text = "The message store cannot be written at the moment.";
  return unavailable("STORE_NOT_WRITABLE", text, { retryAfterMs: RETRY_AFTER_MS, cause });
}

function notReadable(cause: unknown): Error {
  const text = "The message store cannot be read at the moment.";
  return unavailable(NOT_READABLE, text, { retryAfterMs: RETRY_AFTER_MS, cause });
}
