import { sleep } from "@parley/platform/async/sleep";
import { type Clock, systemClock } from "@parley/platform/clock";
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
import type { RaisedReceipt, StoredReceipt } from "../domain/conversation.ts";
import {
  type MessageStore,
  type ReadRowsQuery,
  ROWS_PER_BUCKET,
  type StoreBatch,
  type StoreWrite,
} from "../ports.ts";
import { createReceipts, type Receipts } from "./cassandra-receipts.ts";
import { createRowReader, type RowReader } from "./cassandra-rows.ts";
import { createStateReader, type StateReader } from "./cassandra-state.ts";
import { type CassandraWriter, createWriter } from "./cassandra-writer.ts";
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
/** A request of a cluster that works takes a few ms. */
const DISPOSE_WAIT_MS = 2000;
const NOT_READABLE = "STORE_NOT_READABLE";

const CLAIM_LOG =
  "INSERT INTO message_log (name, epoch, partition_count) VALUES ('log', ?, ?) IF NOT EXISTS";
class CassandraStore implements MessageStore {
  readonly #session: CassandraSession;
  readonly #writer: CassandraWriter;
  readonly #reader: StateReader;
  readonly #rows: RowReader;
  readonly #receipts: Receipts;
  readonly #options: StoreOnSessionOptions;
  readonly #clock: Pick<Clock, "monotoneMs">;
  /** Batches that failed in a row, and when the last one did. */
  #failures = 0;
  #failedMs = Number.NEGATIVE_INFINITY;
  #disposed = false;
  /** Batches and checkpoints that are being written. */
  readonly #underWay = new Set<Promise<void>>();

  constructor(session: CassandraSession, options: StoreOnSessionOptions) {
    const { epochNumber = 1, rowsPerBucket = ROWS_PER_BUCKET, clock = systemClock } = options;
    this.#session = session;
    this.#options = options;
    this.#clock = clock;
    const dedupeTtlSeconds = Math.ceil(options.dedupeKeptMs / 1000);
    this.#writer = createWriter(session, { epochNumber, rowsPerBucket, dedupeTtlSeconds });
    const read: CassandraSession["read"] = (...query) => this.#read(...query);
    this.#reader = createStateReader({ read });
    this.#rows = createRowReader({ read }, rowsPerBucket);
    this.#receipts = createReceipts({ read }, this.#writer);
  }

  async bindLog({ epoch, partitionCount }: LogIdentity): Promise<LogIdentity> {
    const claim = { query: CLAIM_LOG, params: [epoch, partitionCount] };
    const kept = await this.#session.writeIfAbsent(claim);
    if (kept === undefined) return { epoch, partitionCount };
    return { epoch: String(kept.epoch), partitionCount: Number(kept.partition_count) };
  }

  loadCheckpoint(partition: number) {
    return this.#reader.loadCheckpoint(partition);
  }

  loadConversations(conversationIds: readonly string[]) {
    return this.#reader.loadConversations(conversationIds);
  }

  findDedupe(queries: Parameters<MessageStore["findDedupe"]>[0]) {
    return this.#reader.findDedupe(queries);
  }

  write(batch: StoreBatch): StoreWrite {
    const { partition, conversations, parked, checkpoint } = batch;
    const written = this.#write(batch);
    const durable = written.then(() =>
      this.#writer.raiseReplayOffset(partition, checkpoint.replayOffset),
    );
    // Records are answered as soon as they can be read; where replay starts is nobody's to wait for but the log's.
    const onlyCheckpoint = conversations.length === 0 && parked.length === 0;
    return { readable: onlyCheckpoint ? durable : written, durable: this.#untilDisposed(durable) };
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

  readClosedWindows(conversationId: string, userId: string) {
    return this.#reader.readClosedWindows(conversationId, userId);
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

  readParked(...query: Parameters<MessageStore["readParked"]>) {
    return this.#reader.readParked(...query);
  }

  /**
   * Entries expire by themselves, each `dedupeKeptMs` after it was written, which is after it was accepted.
   * Removing them here would leave a tombstone for each, and take an index by time to find them.
   */
  async purgeDedupe(): Promise<boolean> {
    return false;
  }

  /** Waits a moment for what is being written, so that the next start replays little. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    const waited = new AbortController();
    const late = sleep(DISPOSE_WAIT_MS, waited.signal).catch(() => undefined);
    await Promise.race([Promise.all(this.#underWay), late]);
    waited.abort();
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

  #failed({ conversations, parked }: StoreBatch, error: unknown): void {
    // A checkpoint alone is not written again: appends would be refused without anything that ends it.
    if (conversations.length === 0 && parked.length === 0) return;
    this.#failures++;
    this.#failedMs = this.#clock.monotoneMs();
    this.#options.onProblem(error, this.#failures);
  }

  async #write(batch: StoreBatch): Promise<void> {
    try {
      await this.#writer.write(batch);
    } catch (error) {
      if (!this.#disposed) this.#failed(batch, error);
      throw error;
    }
    this.#succeeded();
  }

  /**
   * What `durable` promises: it is settled by success, or when the store is disposed. A write that failed is
   * written again, and that one's promise says so.
   */
  #untilDisposed(durable: Promise<void>): Promise<void> {
    const settled = Promise.withResolvers<void>();
    // Whoever does not ask does not miss a rejection.
    settled.promise.catch(() => undefined);
    const ended = durable
      .then(settled.resolve, (error: unknown) => {
        if (this.#disposed) settled.reject(error);
      })
      .finally(() => this.#underWay.delete(ended));
    this.#underWay.add(ended);
    return settled.promise;
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
