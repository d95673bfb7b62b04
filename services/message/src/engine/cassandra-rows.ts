/** Reads timelines, bucket by bucket. */
import type { CassandraSession } from "@parley/platform/storage/engine/cassandra";
import type { StoredRow } from "../domain/conversation.ts";
import type { MessageStore, ReadRowsQuery } from "../ports.ts";
import { toNumber, toStoredRow } from "./cassandra-values.ts";
import { findFirst } from "./find-first.ts";

export type RowReader = Pick<MessageStore, "readRows" | "findRow">;

/** Rows of the first request; the size of what came says how many the next one asks for. */
const FIRST_ROWS_MAX = 64;
/** Rows of one request. */
const REQUEST_ROWS_MAX = 1000;

const COLUMNS =
  "seq, message_id, log_offset, append_time_ms, unread_ordinal, membership_version, sender_user_id, event";
const UPWARDS =
  `SELECT ${COLUMNS} FROM message_rows WHERE conversation_id = ? AND bucket = ? ` +
  "AND seq >= ? AND seq <= ? ORDER BY seq ASC LIMIT ?";
const DOWNWARDS =
  `SELECT ${COLUMNS} FROM message_rows WHERE conversation_id = ? AND bucket = ? ` +
  "AND seq <= ? AND seq >= ? ORDER BY seq DESC LIMIT ?";

/** What is sought, and where it stands in rows and in first rows of buckets. */
const SEARCHES = {
  messageId: { row: "message_id", bucket: "first_message_id" },
  offset: { row: "log_offset", bucket: "first_offset" },
  membershipVersion: { row: "membership_version", bucket: "first_membership_version" },
} as const;

type ReadSession = Pick<CassandraSession, "read">;

/** Reads timelines whose buckets hold `rowsPerBucket` rows. */
export function createRowReader(session: ReadSession, rowsPerBucket: number): RowReader {
  return {
    readRows: (query) => readRows(session, rowsPerBucket, query),
    findRow: async (conversationId, lastSeq, by, value) => {
      const search = { conversationId, lastSeq, columns: SEARCHES[by], value };
      const seq = await findSeq(session, rowsPerBucket, search);
      if (seq === undefined) return undefined;
      const query = { conversationId, fromSeq: seq, toSeq: seq, rowsMax: 1 };
      const [found] = await readBucket(session, rowsPerBucket, query);
      return found;
    },
  };
}

async function readRows(
  session: ReadSession,
  rowsPerBucket: number,
  { conversationId, fromSeq, toSeq, rowsMax, bytesMax }: ReadRowsQuery,
): Promise<readonly StoredRow[]> {
  const bucketOf = (seq: number) => Math.floor(seq / rowsPerBucket);
  const step = toSeq < fromSeq ? -1 : 1;
  const found: StoredRow[] = [];
  let bytes = 0;
  for (let seq = fromSeq; step * (toSeq - seq) >= 0 && found.length < rowsMax; ) {
    const wanted = Math.min(rowsMax - found.length, requestSize(found.length, bytes, bytesMax));
    const query = { conversationId, fromSeq: seq, toSeq, rowsMax: wanted };
    const rows = await readBucket(session, rowsPerBucket, query);
    for (const row of rows) {
      bytes += row.event.byteLength;
      if (bytes > bytesMax && found.length > 0) return found;
      found.push(row);
    }
    seq += step * rows.length;
    // Fewer than wanted, and the bucket is not at its end: a gap, or the last row.
    const whole = rows.length === wanted || bucketOf(seq) !== bucketOf(seq - step);
    if (rows.length === 0 || !whole) break;
  }
  return found;
}

/** Rows of one bucket from a place on, in the direction of reading, as far as there is no gap. */
async function readBucket(
  session: ReadSession,
  rowsPerBucket: number,
  { conversationId, fromSeq, toSeq, rowsMax }: Omit<ReadRowsQuery, "bytesMax">,
): Promise<StoredRow[]> {
  const step = toSeq < fromSeq ? -1 : 1;
  const bucket = Math.floor(fromSeq / rowsPerBucket);
  const end = step > 0 ? (bucket + 1) * rowsPerBucket - 1 : bucket * rowsPerBucket;
  const last = step > 0 ? Math.min(end, toSeq) : Math.max(end, toSeq);
  const params = [conversationId, bucket, BigInt(fromSeq), BigInt(last), rowsMax];
  const rows = await session.read(step > 0 ? UPWARDS : DOWNWARDS, params);
  const found = rows.map(toStoredRow);
  const gap = found.findIndex(({ seq }, at) => seq !== fromSeq + at * step);
  return gap < 0 ? found : found.slice(0, gap);
}

type Search = {
  readonly conversationId: string;
  readonly lastSeq: number;
  readonly columns: (typeof SEARCHES)[keyof typeof SEARCHES];
  readonly value: bigint;
};

/** Finds the bucket by the buckets' first rows, then the row in it. A row that is not there counts as reached. */
async function findSeq(
  session: ReadSession,
  rowsPerBucket: number,
  { conversationId, lastSeq, columns, value }: Search,
): Promise<number | undefined> {
  const lastBucket = Math.floor(lastSeq / rowsPerBucket);
  const ofBuckets =
    `SELECT bucket, ${columns.bucket} AS value FROM message_buckets ` +
    "WHERE conversation_id = ? AND bucket IN ?";
  // The first bucket that begins at the value or above it: what is sought is before it, or its first row.
  const next = await findFirst(1, lastBucket, async (points) => {
    const rows = await session.read(ofBuckets, [conversationId, points]);
    return reachedBy(points, rows, "bucket", value);
  });
  const bucket = (next ?? lastBucket + 1) - 1;
  const first = Math.max(1, bucket * rowsPerBucket);
  const last = Math.min(lastSeq, (bucket + 1) * rowsPerBucket - 1);
  const ofRows =
    `SELECT seq, ${columns.row} AS value FROM message_rows ` +
    "WHERE conversation_id = ? AND bucket = ? AND seq IN ?";
  const inside = await findFirst(first, last, async (points) => {
    const rows = await session.read(ofRows, [conversationId, bucket, points.map(BigInt)]);
    return reachedBy(points, rows, "seq", value);
  });
  return inside ?? (next === undefined ? undefined : next * rowsPerBucket);
}

/** As many rows as the bytes that are left should hold, judging by those that came. */
function requestSize(rows: number, bytes: number, bytesMax: number): number {
  if (rows === 0) return FIRST_ROWS_MAX;
  const left = Math.max(0, bytesMax - bytes);
  const fitting = Math.ceil(left / Math.max(1, bytes / rows)) + 1;
  return Math.min(REQUEST_ROWS_MAX, fitting);
}

function reachedBy(
  points: readonly number[],
  rows: readonly Readonly<Record<string, unknown>>[],
  key: string,
  value: bigint,
): readonly boolean[] {
  const below = new Set(
    rows
      .filter((row) => typeof row.value === "bigint" && row.value < value)
      .map((row) => toNumber(row[key])),
  );
  return points.map((point) => !below.has(point));
}
