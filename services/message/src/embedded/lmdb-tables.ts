/** The LMDB environment: its tables, and putting a layer into them. */
import { randomBytes } from "node:crypto";
import { type Database, open, type RootDatabase } from "lmdb";
import type { DedupeEntry } from "../domain/dedupe.ts";
import {
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

/** Table names; more than LMDB's default of 12 would have to be asked for. */
const TABLES_MAX = 12;

/**
 * Opens the environment in a directory, or creates it. In LMDB's default, safe mode: each commit is synced,
 * and what a crash or a power loss leaves is the state after some commit.
 */
export function openTables(directory: string): Tables {
  const root = open<Buffer, Buffer>({
    path: directory,
    maxDbs: TABLES_MAX,
    encoding: "binary",
    keyEncoding: "binary",
    // A path such as `./data.d/message` would be taken for a file because of its dot.
    noSubdir: false,
  });
  const table = (name: string): Table =>
    root.openDB<Buffer, Buffer>({ name, encoding: "binary", keyEncoding: "binary" });
  return {
    root,
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

/** A different start for each process: keys of `dedupe-times` need to differ, not to be in order. */
let unique = randomBytes(6).readUIntBE(0, 6);

/** Puts everything of a layer, in one transaction. Resolves when it is on disk. */
export async function commitLayer(tables: Tables, layer: Layer): Promise<void> {
  const committed = tables.root.batch(() => {
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
  await committed;
  await tables.root.flushed;
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

/** The dedupe keys in a value of `dedupe-times`. */
export function* dedupeKeysIn(value: Buffer): Generator<Buffer> {
  for (let at = 0; at + DEDUPE_KEY_BYTES <= value.byteLength; at += DEDUPE_KEY_BYTES) {
    yield value.subarray(at, at + DEDUPE_KEY_BYTES);
  }
}
