/**
 * Storage in the browser's IndexedDB. Tabs of one origin may share it.
 *
 * Object stores, each with an inline or explicit key:
 *
 *     timelines  conversationId             → StoredTimeline
 *     entries    [conversationId, seqKey]   → StoredEntry       seqKey: 16 hex digits, so that keys sort by seq
 *     sends      clientMessageId            → StoredSend
 *     values     "account" | "setting:…"    → StoredAccount | string
 */
import {
  type ClientStorage,
  ENTRIES_KEPT_MAX,
  type StorageBatch,
  type StoredAccount,
  type StoredEntry,
  type StoredSend,
  type StoredTimeline,
} from "./client-storage.ts";

const VERSION = 1;
const STORES = ["timelines", "entries", "sends", "values"] as const;
const SETTING_PREFIX = "setting:";

type EntryRow = StoredEntry & { readonly seqKey: string };

/** The part of `globalThis` that is needed, so that a test or a worker can bring its own. */
export type IndexedDbEnvironment = {
  readonly indexedDB: IDBFactory;
  readonly IDBKeyRange: typeof IDBKeyRange;
};

/** Opens (or creates) the database `name`; use one name per server and person. */
export async function openIndexedDbStorage(options: {
  readonly name: string;
  readonly entriesKeptMax?: number;
  readonly environment?: IndexedDbEnvironment;
}): Promise<ClientStorage> {
  const environment = options.environment ?? globalThis;
  const database = await openDatabase(environment.indexedDB, options.name);
  // Another tab that opens a newer version, or deletes the database, must not wait for this one.
  database.onversionchange = () => database.close();
  return createStorage(
    database,
    environment.IDBKeyRange,
    options.entriesKeptMax ?? ENTRIES_KEPT_MAX,
  );
}

function openDatabase(factory: IDBFactory, name: string): Promise<IDBDatabase> {
  const request = factory.open(name, VERSION);
  request.onupgradeneeded = () => {
    const database = request.result;
    database.createObjectStore("timelines", { keyPath: "conversationId" });
    database.createObjectStore("entries", { keyPath: ["conversationId", "seqKey"] });
    database.createObjectStore("sends", { keyPath: "clientMessageId" });
    database.createObjectStore("values");
  };
  return resultOf(request);
}

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Resolves when the transaction is committed. */
function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

function seqKeyOf(seq: bigint): string {
  return seq.toString(16).padStart(16, "0");
}

function createStorage(
  database: IDBDatabase,
  keyRange: typeof IDBKeyRange,
  entriesKeptMax: number,
): ClientStorage {
  const readValue = (key: string) =>
    resultOf(database.transaction("values").objectStore("values").get(key));
  return {
    load: () => load(database),
    readAccount: async () => (await readValue("account")) as StoredAccount | undefined,
    readEntries: (conversationId, { beforeSeq, count }) =>
      readEntries(database, keyRange, conversationId, beforeSeq, count),
    async write(batch) {
      const transaction = database.transaction(STORES, "readwrite", { durability: "strict" });
      const done = committed(transaction);
      putBatch(transaction, keyRange, batch);
      for (const id of new Set(batch.entries?.map((entry) => entry.conversationId))) {
        trim(transaction.objectStore("entries"), keyRange, id, entriesKeptMax);
      }
      await done;
    },
    async clear() {
      const transaction = database.transaction(STORES, "readwrite", { durability: "strict" });
      const done = committed(transaction);
      for (const store of STORES) transaction.objectStore(store).clear();
      await done;
    },
    async close() {
      database.close();
    },
  };
}

async function load(database: IDBDatabase) {
  const transaction = database.transaction(["timelines", "sends", "values"]);
  const values = transaction.objectStore("values");
  const [timelines, sends, keys, all] = await Promise.all([
    resultOf<StoredTimeline[]>(transaction.objectStore("timelines").getAll()),
    resultOf<StoredSend[]>(transaction.objectStore("sends").getAll()),
    resultOf(values.getAllKeys()),
    resultOf<unknown[]>(values.getAll()),
  ]);
  const byKey = new Map(keys.map((key, index) => [String(key), all[index]]));
  const settings = [...byKey].filter(([key]) => key.startsWith(SETTING_PREFIX));
  return {
    account: byKey.get("account") as StoredAccount | undefined,
    timelines,
    sends: sends.sort((a, b) => a.order - b.order),
    settings: Object.fromEntries(
      settings.map(([key, value]) => [key.slice(SETTING_PREFIX.length), String(value)]),
    ),
  };
}

function readEntries(
  database: IDBDatabase,
  keyRange: typeof IDBKeyRange,
  conversationId: string,
  beforeSeq: bigint | undefined,
  count: number,
): Promise<StoredEntry[]> {
  const upper = beforeSeq === undefined ? "g" : seqKeyOf(beforeSeq); // "g" sorts after every hex digit
  const range = keyRange.bound([conversationId, ""], [conversationId, upper], false, true);
  const found: StoredEntry[] = [];
  if (count <= 0) return Promise.resolve(found);
  return new Promise((resolve, reject) => {
    const request = database
      .transaction("entries")
      .objectStore("entries")
      .openCursor(range, "prev");
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const cursor = request.result;
      if (!cursor || found.length === count) return resolve(found.reverse());
      const { seqKey: _, ...entry } = cursor.value as EntryRow;
      found.push(entry);
      cursor.continue();
    };
  });
}

function putBatch(
  transaction: IDBTransaction,
  keyRange: typeof IDBKeyRange,
  batch: StorageBatch,
): void {
  const timelines = transaction.objectStore("timelines");
  const entries = transaction.objectStore("entries");
  const sends = transaction.objectStore("sends");
  const values = transaction.objectStore("values");
  if (batch.account === null) values.delete("account");
  else if (batch.account) values.put(batch.account, "account");
  for (const timeline of batch.rewoundTimelines ?? []) {
    const { conversationId, position } = timeline;
    timelines.put(timeline);
    entries.delete(
      keyRange.bound([conversationId, seqKeyOf(position + 1n)], [conversationId, "g"]),
    );
  }
  for (const timeline of batch.timelines ?? []) {
    const known = timelines.get(timeline.conversationId) as IDBRequest<StoredTimeline | undefined>;
    known.onsuccess = () => {
      if (known.result && known.result.position > timeline.position) return;
      timelines.put(timeline);
    };
  }
  for (const entry of batch.entries ?? []) {
    entries.put({ ...entry, seqKey: seqKeyOf(entry.seq) } satisfies EntryRow);
  }
  for (const send of batch.sends ?? []) sends.put(send);
  for (const id of batch.removedSends ?? []) sends.delete(id);
  for (const [name, value] of Object.entries(batch.settings ?? {})) {
    values.put(value, SETTING_PREFIX + name);
  }
}

/** Removes what is older than the newest `entriesKeptMax` entries. */
function trim(
  entries: IDBObjectStore,
  keyRange: typeof IDBKeyRange,
  conversationId: string,
  entriesKeptMax: number,
): void {
  const range = keyRange.bound([conversationId, ""], [conversationId, "g"]);
  const count = entries.count(range);
  count.onsuccess = () => {
    let surplus = count.result - entriesKeptMax;
    if (surplus <= 0) return;
    const request = entries.openKeyCursor(range);
    request.onsuccess = () => {
      const cursor = request.result;
      if (!cursor || surplus-- <= 0) return;
      entries.delete(cursor.primaryKey);
      cursor.continue();
    };
  };
}
