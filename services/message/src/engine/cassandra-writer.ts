/** Writes batches in the order that the port prescribes for stores without transactions. */
import type {
  CassandraSession,
  CassandraStatement,
} from "@parley/platform/storage/engine/cassandra";
import type { ClosedWindow, StoredReceipt, StoredRow } from "../domain/conversation.ts";
import type { DedupeEntry } from "../domain/dedupe.ts";
import type { ConversationWrite, StoreBatch, StoredParkedRecord } from "../ports.ts";
import { timestampOf } from "./cassandra-values.ts";

/** Rows of one bucket that go together: as many as make a request worth its while. */
const BATCH_ROWS_MAX = 100;
/** Bytes of events of one batch; a larger event goes alone. Nodes warn of batches that are much larger. */
const BATCH_BYTES_MAX = 40 * 1024;

/** The one partition of parked records. */
export const PARKED_SHELF = "all";

export type WriterSettings = {
  /** The log's epoch as a number: the first log's is 1. */
  readonly epochNumber: number;
  readonly rowsPerBucket: number;
  /** How long dedupe entries are kept, in seconds. */
  readonly dedupeTtlSeconds: number;
};

export type CassandraWriter = {
  /**
   * Writes everything but where replay starts. Resolves when it is readable; of a batch that was rejected no
   * request is under way any more.
   */
  write(batch: StoreBatch): Promise<void>;
  /** Writes where replay starts, after the batch that allows it was written. */
  raiseReplayOffset(partition: number, replayOffset: number): Promise<void>;
  raiseReceipt(conversationId: string, receipt: StoredReceipt): Promise<void>;
};

export function createWriter(
  session: Pick<CassandraSession, "write">,
  settings: WriterSettings,
): CassandraWriter {
  return new Writer(session, settings);
}

class Writer implements CassandraWriter {
  readonly #session: Pick<CassandraSession, "write">;
  readonly #settings: WriterSettings;

  constructor(session: Pick<CassandraSession, "write">, settings: WriterSettings) {
    this.#session = session;
    this.#settings = settings;
  }

  async write({ partition, conversations, parked, checkpoint }: StoreBatch): Promise<void> {
    await this.#raiseCheckpoint(RAISE_END, partition, checkpoint.endOffset);
    await all(conversations.map((write) => this.#writeConversation(write)));
    await all(parked.map((record) => this.#session.write(parkedStatement(record))));
  }

  raiseReplayOffset(partition: number, replayOffset: number): Promise<void> {
    return this.#raiseCheckpoint(RAISE_REPLAY, partition, replayOffset);
  }

  async raiseReceipt(conversationId: string, receipt: StoredReceipt): Promise<void> {
    await this.#session.write(...this.#receiptStatements(conversationId, receipt));
  }

  /** Everything side by side that nobody looks at before the head counts it; then the head. */
  async #writeConversation(write: ConversationWrite): Promise<void> {
    const { conversationId } = write.state;
    const receipts = write.receipts.flatMap((receipt) =>
      this.#receiptStatements(conversationId, receipt),
    );
    const windows = Map.groupBy(write.closedWindows, ({ userId }) => userId);
    await all([
      ...write.dedupe.map((entry) => this.#session.write(this.#dedupeStatement(entry))),
      ...this.#rowWrites(conversationId, write.rows),
      ...[...windows.values()].map((ofPerson) =>
        this.#session.write(...ofPerson.map((window) => windowStatement(conversationId, window))),
      ),
      this.#session.write(...receipts),
    ]);
    await this.#session.write(...this.#headStatements(write));
  }

  /** Readers stop at what is not there yet. */
  #rowWrites(conversationId: string, rows: readonly StoredRow[]): Promise<void>[] {
    const { rowsPerBucket } = this.#settings;
    const buckets = Map.groupBy(rows, ({ seq }) => Math.floor(seq / rowsPerBucket));
    return [...buckets].flatMap(([bucket, inBucket]) => {
      const first = inBucket.find(({ seq }) => seq % rowsPerBucket === 0);
      return [
        ...(first === undefined
          ? []
          : [this.#session.write(bucketStatement(conversationId, bucket, first))]),
        ...chunksOf(inBucket).map((chunk) =>
          this.#session.write(...chunk.map((row) => rowStatement(conversationId, bucket, row))),
        ),
      ];
    });
  }

  #raiseCheckpoint(query: string, partition: number, offset: number): Promise<void> {
    const timestamp = timestampOf(this.#settings.epochNumber, offset);
    return this.#session.write({ query, params: [timestamp, BigInt(offset), partition] });
  }

  #dedupeStatement(entry: DedupeEntry): CassandraStatement {
    const { conversationId, userId, deviceId, clientMessageId } = entry.key;
    return {
      query: INSERT_DEDUPE,
      params: [
        conversationId,
        userId,
        deviceId,
        clientMessageId,
        BigInt(entry.offset),
        BigInt(entry.seq),
        entry.messageId,
        BigInt(entry.appendTimeMs),
        this.#settings.dedupeTtlSeconds,
      ],
    };
  }

  /** Each position decides for itself whether it is newer. */
  #receiptStatements(conversationId: string, receipt: StoredReceipt): CassandraStatement[] {
    const { userId, readSeq, updateTimeMs } = receipt;
    const deliveredSeq = Math.max(receipt.deliveredSeq, readSeq);
    const raise = (query: string, seq: number): CassandraStatement => ({
      query,
      params: [
        timestampOf(this.#settings.epochNumber, seq),
        BigInt(seq),
        BigInt(updateTimeMs),
        conversationId,
        userId,
      ],
    });
    return [
      ...(deliveredSeq > 0 ? [raise(RAISE_DELIVERED, deliveredSeq)] : []),
      ...(readSeq > 0 ? [raise(RAISE_READ, readSeq)] : []),
    ];
  }

  /** One partition, so one write; all of it loses against a head that is newer. */
  #headStatements({ state, membersPut, membersRemoved }: ConversationWrite): CassandraStatement[] {
    const { conversationId, members } = state;
    const timestamp = timestampOf(this.#settings.epochNumber, state.lastProcessedOffset);
    const statements: CassandraStatement[] = [
      {
        query: UPDATE_HEAD,
        params: [
          timestamp,
          state.kind,
          state.encryptionMode,
          state.directUserIds,
          BigInt(state.lastSeq),
          state.lastMessageId,
          BigInt(state.lastProcessedOffset),
          BigInt(state.lastAppendTimeMs),
          BigInt(state.unreadOrdinal),
          BigInt(state.membershipVersion),
          conversationId,
        ],
      },
    ];
    for (const userId of membersRemoved) {
      statements.push({ query: DELETE_MEMBER, params: [timestamp, conversationId, userId] });
    }
    for (const userId of membersPut) {
      const member = members.get(userId);
      if (member === undefined) continue;
      const { joinedSeq, maySend } = member;
      const params = [conversationId, userId, BigInt(joinedSeq), maySend, timestamp];
      statements.push({ query: INSERT_MEMBER, params });
    }
    return statements;
  }
}

const RAISE_END =
  "UPDATE message_checkpoints USING TIMESTAMP ? SET end_offset = ? WHERE log_partition = ?";
const RAISE_REPLAY =
  "UPDATE message_checkpoints USING TIMESTAMP ? SET replay_offset = ? WHERE log_partition = ?";

const INSERT_DEDUPE =
  "INSERT INTO message_dedupe (conversation_id, user_id, device_id, client_message_id, log_offset, seq, " +
  "message_id, append_time_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?";

const INSERT_ROW =
  "INSERT INTO message_rows (conversation_id, bucket, seq, message_id, log_offset, append_time_ms, " +
  "unread_ordinal, membership_version, sender_user_id, event) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const INSERT_BUCKET =
  "INSERT INTO message_buckets (conversation_id, bucket, first_message_id, first_offset, " +
  "first_membership_version) VALUES (?, ?, ?, ?, ?)";

const INSERT_WINDOW =
  "INSERT INTO closed_windows (conversation_id, user_id, joined_seq, left_seq) VALUES (?, ?, ?, ?)";

const RAISE_DELIVERED =
  "UPDATE receipts USING TIMESTAMP ? SET delivered_seq = ?, delivered_time_ms = ? " +
  "WHERE conversation_id = ? AND user_id = ?";
const RAISE_READ =
  "UPDATE receipts USING TIMESTAMP ? SET read_seq = ?, read_time_ms = ? " +
  "WHERE conversation_id = ? AND user_id = ?";

const UPDATE_HEAD =
  "UPDATE conversations USING TIMESTAMP ? SET kind = ?, encryption_mode = ?, direct_user_ids = ?, " +
  "last_seq = ?, last_message_id = ?, last_processed_offset = ?, last_append_time_ms = ?, " +
  "unread_ordinal = ?, membership_version = ? WHERE conversation_id = ?";
const INSERT_MEMBER =
  "INSERT INTO conversations (conversation_id, user_id, joined_seq, may_send) VALUES (?, ?, ?, ?) " +
  "USING TIMESTAMP ?";
const DELETE_MEMBER =
  "DELETE FROM conversations USING TIMESTAMP ? WHERE conversation_id = ? AND user_id = ?";

const INSERT_PARKED =
  "INSERT INTO parked_records (shelf, topic, log_partition, log_offset, append_time_ms, size_bytes, reason) " +
  "VALUES (?, ?, ?, ?, ?, ?, ?)";

function rowStatement(conversationId: string, bucket: number, row: StoredRow): CassandraStatement {
  return {
    query: INSERT_ROW,
    params: [
      conversationId,
      bucket,
      BigInt(row.seq),
      row.messageId,
      BigInt(row.offset),
      BigInt(row.appendTimeMs),
      BigInt(row.unreadOrdinal),
      BigInt(row.membershipVersion),
      row.senderUserId,
      Buffer.from(row.event.buffer, row.event.byteOffset, row.event.byteLength),
    ],
  };
}

function bucketStatement(
  conversationId: string,
  bucket: number,
  first: StoredRow,
): CassandraStatement {
  const { messageId, offset, membershipVersion } = first;
  const values = [messageId, BigInt(offset), BigInt(membershipVersion)];
  return { query: INSERT_BUCKET, params: [conversationId, bucket, ...values] };
}

function windowStatement(conversationId: string, window: ClosedWindow): CassandraStatement {
  const { userId, joinedSeq, leftSeq } = window;
  return {
    query: INSERT_WINDOW,
    params: [conversationId, userId, BigInt(joinedSeq), BigInt(leftSeq)],
  };
}

function parkedStatement(record: StoredParkedRecord): CassandraStatement {
  const { topic, partition, offset, appendTimeMs, sizeBytes, reason } = record;
  const numbers = [partition, BigInt(offset), BigInt(appendTimeMs), BigInt(sizeBytes)];
  return { query: INSERT_PARKED, params: [PARKED_SHELF, topic, ...numbers, reason] };
}

function chunksOf(rows: readonly StoredRow[]): StoredRow[][] {
  const chunks: StoredRow[][] = [];
  let bytes = 0;
  for (const row of rows) {
    const last = chunks.at(-1);
    bytes += row.event.byteLength;
    if (last === undefined || last.length === BATCH_ROWS_MAX || bytes > BATCH_BYTES_MAX) {
      chunks.push([row]);
      bytes = row.event.byteLength;
    } else {
      last.push(row);
    }
  }
  return chunks;
}

/** Waits for all, then rejects with the first reason: what was rejected is not still going on somewhere. */
async function all(writes: readonly Promise<void>[]): Promise<void> {
  const ends = await Promise.allSettled(writes);
  const failed = ends.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}
