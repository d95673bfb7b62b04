/**
 * A store without transactions, as the port describes it: every write is a step of its own, and an instance
 * can die, or stand still and go on much later, between any two of them. Kept simple enough to be believed.
 */
import type {
  ClosedWindow,
  ConversationState,
  Member,
  RaisedReceipt,
  StoredReceipt,
  StoredRow,
} from "../domain/conversation.ts";
import { noReceipt, raiseReceipt } from "../domain/conversation.ts";
import { type DedupeEntry, dedupeKeyText } from "../domain/dedupe.ts";
import type {
  Checkpoint,
  ConversationWrite,
  MessageStore,
  StoreBatch,
  StoredParkedRecord,
  StoreWrite,
} from "../ports.ts";

type Head = { state: Omit<ConversationState, "members">; members: Map<string, Member> };

/** What survives. Values are never changed in place, so a shallow copy is a snapshot. */
export type ModelTables = {
  log: { epoch: string; partitionCount: number } | undefined;
  rows: Map<string, Map<number, StoredRow>>;
  heads: Map<string, Head>;
  windows: Map<string, ClosedWindow[]>;
  receipts: Map<string, StoredReceipt>;
  dedupe: Map<string, DedupeEntry[]>;
  parked: Map<string, StoredParkedRecord>;
  checkpoints: Map<number, Checkpoint>;
};

export function emptyTables(): ModelTables {
  return {
    log: undefined,
    rows: new Map(),
    heads: new Map(),
    windows: new Map(),
    receipts: new Map(),
    dedupe: new Map(),
    parked: new Map(),
    checkpoints: new Map(),
  };
}

export function copyTables(tables: ModelTables): ModelTables {
  return {
    ...tables,
    rows: new Map([...tables.rows].map(([id, rows]) => [id, new Map(rows)])),
    heads: new Map(
      [...tables.heads].map(([id, head]) => [
        id,
        { state: head.state, members: new Map(head.members) },
      ]),
    ),
    windows: new Map([...tables.windows].map(([key, windows]) => [key, [...windows]])),
    receipts: new Map(tables.receipts),
    dedupe: new Map([...tables.dedupe].map(([key, entries]) => [key, [...entries]])),
    parked: new Map(tables.parked),
    checkpoints: new Map(tables.checkpoints),
  };
}

/** Mistakes that the mutation test plants in the store, each against one rule of the port. */
export type StoreFault =
  /** The head goes before what it counts. */
  | "head-first"
  /** Whoever writes last wins, however old what they write is. */
  | "late-head-wins"
  /** Readers go on behind a row that is missing. */
  | "reads-past-gaps"
  /** "On disk" is said when it is not. */
  | "durable-too-early"
  /** The log's identity is not kept. */
  | "forgets-log"
  /** Entries that a record's own future left behind are found like others. */
  | "finds-later-dedupe"
  /** How far the store has applied is not kept. */
  | "forgets-end";

/** The medium that instances share. */
export type ModelDisk = {
  tables: ModelTables;
  /** What would be left after the loss of power. */
  flushed: ModelTables;
  /** Called after each step, for observers that read at that moment. */
  onStep: () => void;
  flush(): void;
  /** Drops what was not flushed, and ends all instances. */
  losePower(): void;
  readonly waiting: PromiseWithResolvers<void>[];
  /** Instances of an earlier age write nothing any more. */
  age: number;
};

export function createModelDisk(): ModelDisk {
  const disk: ModelDisk = {
    tables: emptyTables(),
    flushed: emptyTables(),
    onStep: () => undefined,
    waiting: [],
    age: 0,
    flush() {
      disk.flushed = copyTables(disk.tables);
      for (const waiter of disk.waiting.splice(0)) waiter.resolve();
    },
    losePower() {
      disk.tables = copyTables(disk.flushed);
      disk.waiting.length = 0;
      disk.age++;
    },
  };
  return disk;
}

/** The instance died between two writes. */
export class ModelCrash extends Error {
  override readonly name = "ModelCrash";
}

export type ModelStoreOptions = {
  readonly disk: ModelDisk;
  /** Called before each write; throws to die there, or waits to stand still. */
  readonly beforeStep: () => void | Promise<void>;
  /** Uniform in [0, 1): in which order rows, entries and windows become visible. */
  readonly random: () => number;
  /** Where replay starts, given where it could start at the latest. */
  readonly chooseReplay?: (partition: number, replayOffset: number) => number;
  readonly faults?: ReadonlySet<StoreFault>;
};

export function createModelStore(options: ModelStoreOptions): MessageStore {
  return new ModelStore(options);
}

const NO_FAULTS: ReadonlySet<StoreFault> = new Set();

class ModelStore implements MessageStore {
  readonly full = false;
  readonly #options: ModelStoreOptions;
  readonly #disk: ModelDisk;
  readonly #faults: ReadonlySet<StoreFault>;
  readonly #age: number;

  constructor(options: ModelStoreOptions) {
    this.#options = options;
    this.#disk = options.disk;
    this.#faults = options.faults ?? NO_FAULTS;
    this.#age = options.disk.age;
  }

  async bindLog(identity: { readonly epoch: string; readonly partitionCount: number }) {
    if (this.#faults.has("forgets-log")) return identity;
    this.#disk.tables.log ??= { ...identity };
    this.#disk.flushed.log ??= { ...identity };
    return this.#disk.tables.log;
  }

  async loadCheckpoint(partition: number): Promise<Checkpoint | undefined> {
    const stored = this.#disk.tables.checkpoints.get(partition);
    if (stored === undefined) return undefined;
    const { chooseReplay } = this.#options;
    const replayOffset = chooseReplay?.(partition, stored.replayOffset) ?? stored.replayOffset;
    const endOffset = this.#faults.has("forgets-end") ? replayOffset : stored.endOffset;
    return { replayOffset, endOffset };
  }

  async loadConversations(ids: readonly string[]) {
    const found = new Map<string, ConversationState>();
    for (const id of ids) {
      const head = this.#disk.tables.heads.get(id);
      if (head !== undefined) found.set(id, { ...head.state, members: new Map(head.members) });
    }
    return found;
  }

  async findDedupe(queries: Parameters<MessageStore["findDedupe"]>[0]) {
    return queries.map(({ key, beforeOffset }) =>
      this.#disk.tables.dedupe
        .get(dedupeKeyText(key))
        ?.filter(({ offset }) => offset < beforeOffset || this.#faults.has("finds-later-dedupe"))
        .sort((a, b) => b.offset - a.offset)
        .at(0),
    );
  }

  write(batch: StoreBatch): StoreWrite {
    const durable = Promise.withResolvers<void>();
    if (this.#faults.has("durable-too-early")) durable.resolve();
    const readable = this.#writeInSteps(batch).then(() => {
      this.#disk.waiting.push(durable);
    });
    return { readable, durable: durable.promise };
  }

  async readRows(query: Parameters<MessageStore["readRows"]>[0]) {
    const { conversationId, fromSeq, toSeq, rowsMax, bytesMax } = query;
    const rows = this.#disk.tables.rows.get(conversationId);
    const step = toSeq < fromSeq ? -1 : 1;
    const found: StoredRow[] = [];
    let bytes = 0;
    for (let seq = fromSeq; step * (toSeq - seq) >= 0 && found.length < rowsMax; seq += step) {
      const row = rows?.get(seq);
      if (row === undefined && this.#faults.has("reads-past-gaps")) continue;
      if (row === undefined) break;
      bytes += row.event.byteLength;
      if (bytes > bytesMax && found.length > 0) break;
      found.push(row);
    }
    return found;
  }

  async findRow(...query: Parameters<MessageStore["findRow"]>) {
    const [conversationId, lastSeq, by, value] = query;
    const rows = [...(this.#disk.tables.rows.get(conversationId)?.values() ?? [])];
    return rows
      .filter((row) => row.seq <= lastSeq && BigInt(row[by]) >= value)
      .sort((a, b) => a.seq - b.seq)
      .at(0);
  }

  async readClosedWindows(conversationId: string, userId: string) {
    const windows = this.#disk.tables.windows.get(`${conversationId}\n${userId}`) ?? [];
    return windows.toSorted((a, b) => a.joinedSeq - b.joinedSeq).slice(-64);
  }

  async readReceipts(conversationId: string, userIds: readonly string[]) {
    const { receipts } = this.#disk.tables;
    return userIds.map(
      (userId) => receipts.get(`${conversationId}\n${userId}`) ?? noReceipt(userId),
    );
  }

  async raiseReceipt(conversationId: string, receipt: StoredReceipt) {
    let raised: RaisedReceipt | undefined;
    await this.#step(() => {
      raised = this.#raise(conversationId, receipt);
    });
    return raised as RaisedReceipt;
  }

  async readParked(...[after, recordsMax]: Parameters<MessageStore["readParked"]>) {
    const key = (record: NonNullable<typeof after>) =>
      `${record.topic} ${String(record.partition).padStart(10)} ${String(record.offset).padStart(17)}`;
    return [...this.#disk.tables.parked.values()]
      .filter((record) => after === undefined || key(record) > key(after))
      .sort((a, b) => (key(a) < key(b) ? -1 : 1))
      .slice(0, recordsMax);
  }

  async purgeDedupe(beforeMs: number, entriesMax: number) {
    let left = entriesMax;
    for (const [key, entries] of this.#disk.tables.dedupe) {
      if (left <= 0) return true;
      const kept = entries.filter(({ appendTimeMs }) => appendTimeMs >= beforeMs);
      left -= entries.length - kept.length;
      if (kept.length === 0) this.#disk.tables.dedupe.delete(key);
      else this.#disk.tables.dedupe.set(key, kept);
    }
    return false;
  }

  async [Symbol.asyncDispose]() {}

  async #writeInSteps(batch: StoreBatch): Promise<void> {
    const { partition, checkpoint } = batch;
    await this.#step(() => this.#raiseCheckpoint(partition, { endOffset: checkpoint.endOffset }));
    for (const write of batch.conversations) await this.#writeConversation(write);
    for (const record of batch.parked) {
      await this.#step(() =>
        this.#disk.tables.parked.set(`${record.partition}/${record.offset}`, record),
      );
    }
    await this.#step(() =>
      this.#raiseCheckpoint(partition, { replayOffset: checkpoint.replayOffset }),
    );
  }

  /** What comes before the head, in any order. */
  async #writeConversation(write: ConversationWrite): Promise<void> {
    const { conversationId } = write.state;
    const steps = [
      ...write.dedupe.map((entry) => () => this.#writeDedupe(entry)),
      ...write.rows.map((row) => () => this.#writeRow(conversationId, row)),
      ...write.closedWindows.map((window) => () => this.#writeWindow(conversationId, window)),
      ...write.receipts.map((receipt) => () => void this.#raise(conversationId, receipt)),
    ];
    if (this.#faults.has("head-first")) await this.#step(() => this.#writeHead(write));
    for (const step of shuffled(steps, this.#options.random)) await this.#step(step);
    if (!this.#faults.has("head-first")) await this.#step(() => this.#writeHead(write));
  }

  async #step(write: () => void): Promise<void> {
    await this.#options.beforeStep();
    if (this.#age !== this.#disk.age) throw new ModelCrash("the power was lost");
    write();
    this.#disk.onStep();
  }

  #writeRow(conversationId: string, row: StoredRow): void {
    const { rows } = this.#disk.tables;
    const held = rows.get(conversationId) ?? new Map<number, StoredRow>();
    rows.set(conversationId, held.set(row.seq, row));
  }

  #writeDedupe(entry: DedupeEntry): void {
    const { dedupe } = this.#disk.tables;
    const key = dedupeKeyText(entry.key);
    const others = (dedupe.get(key) ?? []).filter(({ offset }) => offset !== entry.offset);
    dedupe.set(key, [...others, entry]);
  }

  #writeWindow(conversationId: string, window: ClosedWindow): void {
    const { windows } = this.#disk.tables;
    const key = `${conversationId}\n${window.userId}`;
    const others = (windows.get(key) ?? []).filter((w) => w.joinedSeq !== window.joinedSeq);
    windows.set(key, [...others, window]);
  }

  #writeHead({ state, membersPut, membersRemoved }: ConversationWrite): void {
    const { heads } = this.#disk.tables;
    const stored = heads.get(state.conversationId);
    const late =
      stored !== undefined && state.lastProcessedOffset < stored.state.lastProcessedOffset;
    if (late && !this.#faults.has("late-head-wins")) return;
    const members = new Map(stored?.members);
    for (const userId of membersRemoved) members.delete(userId);
    for (const userId of membersPut) {
      const member = state.members.get(userId);
      if (member !== undefined) members.set(userId, member);
    }
    const { members: _, ...head } = state;
    heads.set(state.conversationId, { state: head, members });
  }

  #raise(conversationId: string, receipt: StoredReceipt): RaisedReceipt {
    const { receipts } = this.#disk.tables;
    const key = `${conversationId}\n${receipt.userId}`;
    const before = receipts.get(key) ?? noReceipt(receipt.userId);
    const after = raiseReceipt(before, receipt);
    receipts.set(key, after);
    return { receipt: after, deliveredGrew: after.deliveredSeq > before.deliveredSeq };
  }

  #raiseCheckpoint(partition: number, raised: Partial<Checkpoint>): void {
    const { checkpoints } = this.#disk.tables;
    const stored = checkpoints.get(partition) ?? { replayOffset: 0, endOffset: 0 };
    checkpoints.set(partition, {
      replayOffset: Math.max(stored.replayOffset, raised.replayOffset ?? 0),
      endOffset: Math.max(stored.endOffset, raised.endOffset ?? 0),
    });
  }
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
