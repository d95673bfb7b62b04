/** The tables of the LMDB file; what lies in them is drawn in `inbox-encoding.ts`. */
import type { LogIdentity } from "@parley/platform/log/port";
import { createLmdbCommit, openLmdb } from "@parley/platform/storage/embedded/lmdb";
import type { Database, RootDatabase } from "lmdb";
import type { LogPlace } from "../ports.ts";
import {
  decodeHead,
  decodeMembers,
  decodePlace,
  decodeRow,
  encodeHead,
  encodeMembers,
  encodePlace,
  encodeRow,
  encodeTouch,
  type StoredConversation,
  type StoredHead,
  type StoredRow,
} from "./inbox-encoding.ts";

import type { Unwritten } from "./unwritten.ts";

export type InboxTables = {
  /** The number of the last write that is in here. */
  readTouch(): bigint;
  readIdentity(): LogIdentity | undefined;
  /** Durable when it resolves. */
  writeIdentity(identity: LogIdentity): Promise<void>;
  readPlaces(): Map<number, LogPlace>;
  readHead(conversationId: string): StoredHead | undefined;
  readConversation(conversationId: string): StoredConversation | undefined;
  readRow(userId: string, conversationId: string): StoredRow | undefined;
  /** A person's rows by conversation id, at most `limit`, after `conversationId` (empty: from the first). */
  readRows(userId: string, conversationId: string, limit: number): Map<string, StoredRow>;
  /** Writes all of it in one transaction; durable when it resolves, undone when it rejects. One call at a time. */
  write(unwritten: Unwritten, touch: bigint): Promise<void>;
  close(): Promise<void>;
};

/** Inboxes of direct conversations are made from the message store, so neither can be made again alone. */
const REMEDY =
  "restore the whole data directory from a backup or, while the log reaches back to its beginning, move this " +
  "directory and the message store's aside, and both are made again from it, but for read positions";

/** Sorts behind every id. */
const LAST_ID = "\uffff";

/** The directory or the file cannot be used. The message names the variable that says where it is. */
export class InboxOpenError extends Error {
  override readonly name = "InboxOpenError";
}

/** Opens the file, or creates it. Throws InboxOpenError. */
export function openInboxTables(directory: string): InboxTables {
  const encoding = "binary";
  const root = openRoot(directory);
  const commit = createLmdbCommit(root);
  const heads = root.openDB<Buffer, string>("heads", { encoding });
  const members = root.openDB<Buffer, string>("members", { encoding });
  const rows = root.openDB<Buffer, string[]>("rows", { encoding });
  const places = root.openDB<Buffer, number>("places", { encoding });
  const meta = root.openDB<Buffer, string>("meta", { encoding });
  const readHead = (conversationId: string) => {
    // "Fast" buffers are the database's own until its next call: they are decoded at once.
    const bytes = heads.getBinaryFast(conversationId);
    return bytes === undefined ? undefined : decodeHead(bytes);
  };

  return {
    readTouch: () => meta.get("touch")?.readBigUInt64LE(0) ?? 0n,
    readIdentity() {
      const bytes = meta.get("identity");
      return bytes === undefined ? undefined : (JSON.parse(bytes.toString()) as LogIdentity);
    },
    async writeIdentity({ epoch, partitionCount }) {
      const bytes = Buffer.from(JSON.stringify({ epoch, partitionCount }));
      await commit(() => void meta.put("identity", bytes));
    },
    readPlaces() {
      const found = new Map<number, LogPlace>();
      for (const { key, value } of places.getRange({})) found.set(key, decodePlace(value));
      return found;
    },
    readHead,
    readConversation(conversationId) {
      const found = readHead(conversationId);
      if (found === undefined) return undefined;
      const bytes = members.getBinaryFast(conversationId);
      if (bytes === undefined) throw new Error("A conversation has a head and no members.");
      const { kind, touch, head } = found;
      return { touch, conversation: { conversationId, kind, head, members: decodeMembers(bytes) } };
    },
    readRow(userId, conversationId) {
      const bytes = rows.getBinaryFast([userId, conversationId]);
      return bytes === undefined ? undefined : decodeRow(bytes);
    },
    readRows(userId, conversationId, limit) {
      const start = conversationId === "" ? [userId] : [userId, conversationId];
      const range = { start, end: [userId, LAST_ID], exclusiveStart: true, limit };
      const found = new Map<string, StoredRow>();
      for (const { key, value } of rows.getRange(range)) found.set(key[1] ?? "", decodeRow(value));
      return found;
    },
    write: (unwritten, touch) =>
      commit(() => {
        putAll({ heads, members, rows, places }, unwritten);
        meta.put("touch", encodeTouch(touch));
      }),
    close: () => root.close(),
  };
}

function openRoot(directory: string): RootDatabase<Buffer, string> {
  try {
    return openLmdb<string>(directory, { keys: "text", remedy: REMEDY });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InboxOpenError(
      `The inboxes in ${directory} cannot be opened: ${reason}. PARLEY_DATA_DIRECTORY says where they are.`,
      { cause: error },
    );
  }
}

function putAll(
  tables: {
    readonly heads: Database<Buffer, string>;
    readonly members: Database<Buffer, string>;
    readonly rows: Database<Buffer, string[]>;
    readonly places: Database<Buffer, number>;
  },
  { conversations, membersChanged, rows, places }: Unwritten,
): void {
  for (const [conversationId, stored] of conversations) {
    tables.heads.put(conversationId, encodeHead(stored));
    if (!membersChanged.has(conversationId)) continue;
    tables.members.put(conversationId, encodeMembers(stored.conversation.members));
  }
  for (const [userId, byConversation] of rows) {
    for (const [conversationId, stored] of byConversation) {
      tables.rows.put([userId, conversationId], encodeRow(stored));
    }
  }
  for (const [partition, place] of places) tables.places.put(partition, encodePlace(place));
}
