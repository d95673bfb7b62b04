/** How far people have come: written with their positions as timestamps, so that positions only grow. */
import type { CassandraSession } from "@parley/platform/storage/engine/cassandra";
import {
  createRequestSlots,
  type RequestSlots,
} from "@parley/platform/storage/engine/request-slots";
import {
  noReceipt,
  type RaisedReceipt,
  raiseReceipt,
  type StoredReceipt,
} from "../domain/conversation.ts";
import { toReceipt } from "./cassandra-values.ts";
import type { CassandraWriter } from "./cassandra-writer.ts";

export type Receipts = {
  /** The people's positions, in the order asked for. */
  read(conversationId: string, userIds: readonly string[]): Promise<readonly StoredReceipt[]>;
  /**
   * Raises and reads back. Calls for one person take their turn in this process; of two processes that raise
   * to the same position in the same moment, both may say that they did, and others are told it twice.
   * Rejects with RequestSlotsError when too many wait for their turn.
   */
  raise(conversationId: string, receipt: StoredReceipt): Promise<RaisedReceipt>;
};

/** A person's devices that report at the same moment. */
const WAITING_PER_PERSON_MAX = 32;

const SELECT_RECEIPTS =
  "SELECT user_id, delivered_seq, delivered_time_ms, read_seq, read_time_ms FROM receipts " +
  "WHERE conversation_id = ? AND user_id IN ?";

export function createReceipts(
  session: Pick<CassandraSession, "read">,
  writer: Pick<CassandraWriter, "raiseReceipt">,
): Receipts {
  const turns = new Map<string, { readonly slots: RequestSlots; users: number }>();

  async function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const turn = turns.get(key) ?? {
      slots: createRequestSlots({ slotsMax: 1, waitersMax: WAITING_PER_PERSON_MAX }),
      users: 0,
    };
    turns.set(key, turn);
    turn.users++;
    try {
      return await turn.slots.run(work);
    } finally {
      turn.users--;
      if (turn.users === 0) turns.delete(key);
    }
  }

  async function readOne(conversationId: string, userId: string): Promise<StoredReceipt> {
    const [receipt = noReceipt(userId)] = await read(conversationId, [userId]);
    return receipt;
  }

  async function read(conversationId: string, userIds: readonly string[]) {
    const rows = await session.read(SELECT_RECEIPTS, [conversationId, [...new Set(userIds)]]);
    const receipts = new Map(
      rows.map((row) => [String(row.user_id), toReceipt(String(row.user_id), row)]),
    );
    return userIds.map((userId) => receipts.get(userId) ?? noReceipt(userId));
  }

  return {
    read,
    raise: (conversationId, receipt) =>
      inTurn(`${conversationId}\n${receipt.userId}`, async () => {
        const before = await readOne(conversationId, receipt.userId);
        // Of two writes of one position the engine keeps the later time, and the position did not grow then.
        if (raiseReceipt(before, receipt) === before) {
          return { receipt: before, deliveredGrew: false };
        }
        await writer.raiseReceipt(conversationId, receipt);
        const after = await readOne(conversationId, receipt.userId);
        return { receipt: after, deliveredGrew: after.deliveredSeq > before.deliveredSeq };
      }),
  };
}
