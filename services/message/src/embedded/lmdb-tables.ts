/** The LMDB environment: its tables, and putting a layer into them. */
import { randomBytes } from "node:crypto";
import {
  createLmdbCommit,
  type LmdbCommit,
  openLmdb,
} from "@parley/platform/storage/embedded/lmdb";
import type { Database, RootDatabase } from "lmdb";
import type { DedupeEntry } from "../domain/dedupe.ts";
import {
  appendTimeOfDedupe,
  conversationKey,
  DEDUPE_KEY_BYTES,
  dedupeKey,
  encodeCheckpoint,
  encodeDedupe,
  encodeHead,
  encodeMember,
  encodeReceipt,
  encodeRow,
  encodeWindow,
  parkedKey,
  partitionKey,
  personKey,
  rowKey,
  timeKey,
  windowKey,
} from "./lmdb-layout.ts";
import type { Layer, LayerConversation } from "./overlay.ts";

/** Keys and values are bytes that `lmdb-layout.ts` describes. */
export type Table = Database<Buffer, Buffer>;

export type Tables = {
  readonly root: RootDatabase<Buffer, Buffer>;
  /** The one way to write. */
  readonly commit: LmdbCommit;
  readonly rows: Table;
  readonly heads: Table;
  readonly members: Table;
  readonly windows: Table;
  readonly receipts: Table;
  readonly dedupe: Table;
  readonly dedupeTimes: Table;
  readonly checkpoints: Table;
  readonly parked: Table;
  readonly meta: Table;
};

/** Receipts are in no log. */
const REMEDY =
  "restore the whole data directory from a backup or, while the log reaches back to its beginning, move this " +
  "directory aside, and it is made again from it, but for read positions";

/** The directory or the file cannot be used. The message names the variable that says where it is. */
export class MessageStoreOpenError extends Error {
  override readonly name = "MessageStoreOpenError";
}

/** Opens the environment in a directory, or creates it. Throws MessageStoreOpenError. */
export function openTables(directory: string): Tables {
  const root = openRoot(directory);
  const table = (name: string): Table =>
    root.openDB<Buffer, Buffer>({ name, encoding: "binary", keyEncoding: "binary" });
  return {
    root,
    commit: createLmdbCommit(root),
    rows: table("rows"),
    heads: table("heads"),
    members: table("members"),
    windows: table("windows"),
    receipts: table("receipts"),
    dedupe: table("dedupe"),
    dedupeTimes: table("dedupe-times"),
    checkpoints: table("checkpoints"),
    parked: table("parked"),
    meta: table("meta"),
  };
}

function openRoot(directory: string): RootDatabase<Buffer, Buffer> {
  try {
    return openLmdb<Buffer>(directory, { keys: "bytes", remedy: REMEDY });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MessageStoreOpenError(
      `The message store in ${directory} cannot be opened: ${reason}. PARLEY_DATA_DIRECTORY says where it is.`,
      { cause: error },
    );
  }
}

/** A different start for each process: keys of `dedupe-times` need to differ, not to be in order. */
let unique = randomBytes(6).readUIntBE(0, 6);

/** Puts everything of a layer, in one transaction. On disk when it resolves, undone when it rejects. */
export function commitLayer(tables: Tables, layer: Layer): Promise<void> {
  return tables.commit(() => {
    for (const [conversationId, held] of layer.conversations) {
      putConversation(tables, conversationKey(conversationId), held);
    }
    putDedupe(tables, layer.dedupe.values());
    for (const [partition, checkpoint] of layer.checkpoints) {
      tables.checkpoints.put(partitionKey(partition), encodeCheckpoint(checkpoint));
    }
    for (const record of layer.parked) {
      const key = parkedKey(record.topic, record.partition, record.offset);
      tables.parked.put(key, Buffer.from(JSON.stringify(record)));
    }
  });
}

function putConversation(tables: Tables, key: Buffer, held: LayerConversation): void {
  for (const row of held.rows.values()) tables.rows.put(rowKey(key, row.seq), encodeRow(row));
  for (const window of held.windows) {
    tables.windows.put(windowKey(key, window.userId, window.joinedSeq), encodeWindow(window));
  }
  for (const receipt of held.receipts.values()) {
    tables.receipts.put(personKey(key, receipt.userId), encodeReceipt(receipt));
  }
  if (held.state === undefined) return;
  for (const [userId, present] of held.members) {
    const member = present ? held.state.members.get(userId) : undefined;
    if (member === undefined) tables.members.remove(personKey(key, userId));
    else tables.members.put(personKey(key, userId), encodeMember(member));
  }
  tables.heads.put(key, encodeHead(held.state));
}

/** The entries, and one row that finds them by time when they are to be removed. */
function putDedupe(tables: Tables, entries: Iterable<DedupeEntry>): void {
  const keys: Buffer[] = [];
  let newestMs = 0;
  for (const entry of entries) {
    const key = dedupeKey(entry.key);
    tables.dedupe.put(key, encodeDedupe(entry));
    keys.push(key);
    newestMs = Math.max(newestMs, entry.appendTimeMs);
  }
  if (keys.length === 0) return;
  unique = (unique + 1) % 2 ** 48;
  tables.dedupeTimes.put(timeKey(newestMs, BigInt(unique)), Buffer.concat(keys));
}

/**
 * Removes dedupe entries accepted before a time, some `entriesMax` of them, in one transaction. It decides in
 * its turn among the commits: an entry that was renewed meanwhile stays. True if there may be more.
 */
export async function purgeDedupe(
  tables: Tables,
  beforeMs: number,
  entriesMax: number,
): Promise<boolean> {
  const { dedupe, dedupeTimes, commit } = tables;
  const range = { start: timeKey(0, 0n), end: timeKey(beforeMs, 0n) };
  if (dedupeTimes.getKeysCount({ ...range, limit: 1 }) === 0) return false;
  let more = false;
  await commit(() => {
    const pages = [];
    let entries = 0;
    for (const page of dedupeTimes.getRange(range)) {
      more = entries >= entriesMax;
      if (more) break;
      pages.push(page);
      entries += page.value.byteLength / DEDUPE_KEY_BYTES;
    }
    for (const { key, value } of pages) {
      for (const entry of dedupeKeysIn(value)) {
        const stored = dedupe.getBinary(entry);
        if (stored !== undefined && appendTimeOfDedupe(stored) < beforeMs) dedupe.remove(entry);
      }
      dedupeTimes.remove(key);
    }
  });
  return more;
}

/** The dedupe keys in a value of `dedupe-times`. */
function* dedupeKeysIn(value: Buffer): Generator<Buffer> {
  for (let at = 0; at + DEDUPE_KEY_BYTES <= value.byteLength; at += DEDUPE_KEY_BYTES) {
    yield value.subarray(at, at + DEDUPE_KEY_BYTES);
  }
}
