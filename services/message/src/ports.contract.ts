/** What every MessageStore keeps. Run by each adapter on a medium that can be opened again. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ConversationKind,
  EncryptionMode,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { ConversationState, Member, StoredRow } from "./domain/conversation.ts";
import type { DedupeEntry } from "./domain/dedupe.ts";
import type { ConversationWrite, MessageStore, StoreBatch, StoredParkedRecord } from "./ports.ts";

/** A medium on which a store is opened, closed and opened again. */
export type StoreMedium = AsyncDisposable & { open(): Promise<MessageStore> };

const CONVERSATION = "01990000-0000-7000-8000-000000000001";
const OTHER = "01990000-0000-7000-8000-000000000002";
const TIME_MS = 1_760_000_000_000;
/** Larger than 32 bits, so that nobody keeps offsets in fewer. */
const FAR = 2 ** 40;

function row(seq: number, changed: Partial<StoredRow> = {}): StoredRow {
  return {
    seq,
    messageId: (BigInt(seq) << 22n) | 4095n,
    offset: seq * 10,
    appendTimeMs: TIME_MS + seq * 1000,
    unreadOrdinal: seq - 1,
    membershipVersion: 1 + Math.floor(seq / 4),
    senderUserId: "ann",
    event: new Uint8Array(100).fill(seq),
    ...changed,
  };
}

function state(
  lastSeq: number,
  members: Readonly<Record<string, Member>> = { ann: { joinedSeq: 1, maySend: true } },
  changed: Partial<ConversationState> = {},
): ConversationState {
  const last = row(lastSeq);
  return {
    conversationId: CONVERSATION,
    kind: ConversationKind.GROUP,
    encryptionMode: EncryptionMode.SERVER_READABLE,
    directUserIds: [],
    lastSeq,
    lastMessageId: last.messageId,
    lastProcessedOffset: last.offset,
    lastAppendTimeMs: last.appendTimeMs,
    unreadOrdinal: last.unreadOrdinal,
    membershipVersion: last.membershipVersion,
    members: new Map(Object.entries(members)),
    ...changed,
  };
}

function conversation(write: Partial<ConversationWrite> & { state: ConversationState }) {
  return {
    dedupe: [],
    rows: [],
    closedWindows: [],
    membersPut: [],
    membersRemoved: [],
    receipts: [],
    ...write,
  } satisfies ConversationWrite;
}

function batch(conversations: readonly ConversationWrite[], changed: Partial<StoreBatch> = {}) {
  return {
    partition: 3,
    conversations,
    parked: [],
    checkpoint: { replayOffset: 0, endOffset: 1 },
    ...changed,
  } satisfies StoreBatch;
}

function rows(first: number, last: number): StoredRow[] {
  return Array.from({ length: last - first + 1 }, (_, at) => row(first + at));
}

function entry(clientMessageId: string, offset: number, appendTimeMs = TIME_MS): DedupeEntry {
  const key = { conversationId: CONVERSATION, userId: "ann", deviceId: "d", clientMessageId };
  return { key, offset, seq: offset + 1, messageId: BigInt(offset) << 22n, appendTimeMs };
}

async function write(store: MessageStore, ...conversations: ConversationWrite[]): Promise<void> {
  await store.write(batch(conversations)).readable;
}

async function seqs(
  store: MessageStore,
  query: Partial<Parameters<MessageStore["readRows"]>[0]>,
): Promise<number[]> {
  const found = await store.readRows({
    conversationId: CONVERSATION,
    fromSeq: 1,
    toSeq: 100,
    rowsMax: 100,
    bytesMax: 1_000_000,
    ...query,
  });
  return found.map(({ seq }) => seq);
}

/** Events as arrays of one kind: adapters may return buffers. */
function plain(found: readonly StoredRow[]): StoredRow[] {
  return found.map((each) => ({ ...each, event: new Uint8Array(each.event) }));
}

/** In what adapters may differ. */
export type StoreTraits = {
  /**
   * Old dedupe entries go by themselves, each when its time is over; `purgeDedupe` has nothing to do. When that
   * time is over is for the adapter's own tests: here the entries' times are long past, and none may go.
   */
  readonly dedupeExpires?: boolean;
};

/** Registers the suite. */
export function messageStoreContract(
  name: string,
  createMedium: () => Promise<StoreMedium>,
  { dedupeExpires = false }: StoreTraits = {},
): void {
  const withStore = (test: (store: MessageStore, medium: StoreMedium) => Promise<void>) =>
    async function run() {
      await using medium = await createMedium();
      await using store = await medium.open();
      await test(store, medium);
    };

  describe(`${name} as MessageStore`, () => {
    it("keeps the first log it is bound to", async () => {
      await using medium = await createMedium();
      const first = { epoch: "one", partitionCount: 16 };
      {
        await using store = await medium.open();
        assert.deepEqual(await store.bindLog(first), first);
      }
      await using store = await medium.open();
      assert.deepEqual(await store.bindLog({ epoch: "two", partitionCount: 8 }), first);
    });

    it(
      "raises checkpoints and never lowers them",
      withStore(async (store) => {
        assert.equal(await store.loadCheckpoint(3), undefined);
        const save = async (replayOffset: number, endOffset: number) =>
          store.write(batch([], { checkpoint: { replayOffset, endOffset } })).readable;
        await save(5, FAR);
        await save(7, 9);
        assert.deepEqual(await store.loadCheckpoint(3), { replayOffset: 7, endOffset: FAR });
        await save(6, 9);
        assert.deepEqual(await store.loadCheckpoint(3), { replayOffset: 7, endOffset: FAR });
        assert.equal(await store.loadCheckpoint(2), undefined);
      }),
    );

    it(
      "has what is readable, all of it",
      withStore(async (store) => {
        const members = {
          ann: { joinedSeq: 1, maySend: true },
          bén: { joinedSeq: 3, maySend: false },
        };
        const held = state(12, members, {
          kind: ConversationKind.DIRECT,
          directUserIds: ["ann", "bén"],
          encryptionMode: EncryptionMode.END_TO_END,
          lastProcessedOffset: FAR,
        });
        await write(
          store,
          conversation({
            state: held,
            rows: rows(1, 12),
            membersPut: ["ann", "bén"],
            dedupe: [entry("m1", 4)],
            closedWindows: [{ userId: "cem", joinedSeq: 2, leftSeq: 5 }],
            receipts: [{ userId: "ann", deliveredSeq: 9, readSeq: 8, updateTimeMs: TIME_MS }],
          }),
        );
        const loaded = await store.loadConversations([CONVERSATION, OTHER]);
        assert.deepEqual(loaded, new Map([[CONVERSATION, held]]));
        const query = { conversationId: CONVERSATION, fromSeq: 1, toSeq: 12, rowsMax: 50 };
        const found = await store.readRows({ ...query, bytesMax: 1_000_000 });
        assert.deepEqual(plain(found), rows(1, 12));
        const { key } = entry("m1", 4);
        assert.deepEqual(await store.findDedupe([{ key, beforeOffset: FAR }]), [entry("m1", 4)]);
        assert.deepEqual(await store.readClosedWindows(CONVERSATION, "cem"), [
          { userId: "cem", joinedSeq: 2, leftSeq: 5 },
        ]);
        assert.deepEqual(await store.readReceipts(CONVERSATION, ["zoe", "ann"]), [
          { userId: "zoe", deliveredSeq: 0, readSeq: 0, updateTimeMs: 0 },
          { userId: "ann", deliveredSeq: 9, readSeq: 8, updateTimeMs: TIME_MS },
        ]);
      }),
    );

    it("still has what is durable after it was opened again", async () => {
      await using medium = await createMedium();
      const members = {
        ann: { joinedSeq: 1, maySend: true },
        ben: { joinedSeq: 2, maySend: false },
      };
      const parked = parkedRecord("messages", 3, 7);
      {
        await using store = await medium.open();
        const written = store.write(
          batch(
            [
              conversation({
                state: state(3, members),
                rows: rows(1, 3),
                membersPut: ["ann", "ben"],
                dedupe: [entry("m1", 4)],
                closedWindows: [{ userId: "cem", joinedSeq: 1, leftSeq: 2 }],
                receipts: [{ userId: "ann", deliveredSeq: 3, readSeq: 3, updateTimeMs: 5 }],
              }),
            ],
            { parked: [parked], checkpoint: { replayOffset: 8, endOffset: 31 } },
          ),
        );
        await written.durable;
      }
      await using store = await medium.open();
      assert.deepEqual(
        (await store.loadConversations([CONVERSATION])).get(CONVERSATION),
        state(3, members),
      );
      assert.deepEqual(await seqs(store, {}), [1, 2, 3]);
      const { key } = entry("m1", 4);
      assert.deepEqual(await store.findDedupe([{ key, beforeOffset: 5 }]), [entry("m1", 4)]);
      assert.equal((await store.readClosedWindows(CONVERSATION, "cem")).length, 1);
      assert.equal((await store.readReceipts(CONVERSATION, ["ann"]))[0]?.readSeq, 3);
      assert.deepEqual(await store.readParked(undefined, 10), [parked]);
      assert.deepEqual(await store.loadCheckpoint(3), { replayOffset: 8, endOffset: 31 });
    });

    it(
      "reads rows in both directions within its bounds",
      withStore(async (store) => {
        await write(store, conversation({ state: state(9), rows: rows(1, 9) }));
        assert.deepEqual(await seqs(store, { fromSeq: 3, toSeq: 6 }), [3, 4, 5, 6]);
        assert.deepEqual(await seqs(store, { fromSeq: 6, toSeq: 3 }), [6, 5, 4, 3]);
        assert.deepEqual(await seqs(store, { fromSeq: 2, rowsMax: 3 }), [2, 3, 4]);
        assert.deepEqual(await seqs(store, { fromSeq: 9, toSeq: 1, bytesMax: 250 }), [9, 8]);
        assert.deepEqual(await seqs(store, { fromSeq: 4, bytesMax: 1 }), [4], "never nothing");
        assert.deepEqual(await seqs(store, { fromSeq: 10 }), []);
        assert.deepEqual(await seqs(store, { conversationId: OTHER }), []);
      }),
    );

    it(
      "stops at a gap, from either side",
      withStore(async (store) => {
        await write(store, conversation({ state: state(9), rows: [...rows(1, 3), ...rows(5, 9)] }));
        assert.deepEqual(await seqs(store, {}), [1, 2, 3]);
        assert.deepEqual(await seqs(store, { fromSeq: 9, toSeq: 1 }), [9, 8, 7, 6, 5]);
        assert.deepEqual(await seqs(store, { fromSeq: 4 }), []);
      }),
    );

    it(
      "finds the first row by each value that grows",
      withStore(async (store) => {
        await write(store, conversation({ state: state(9), rows: rows(1, 9) }));
        const find = async (...query: ["messageId" | "offset" | "membershipVersion", bigint]) =>
          (await store.findRow(CONVERSATION, 9, ...query))?.seq;
        assert.equal(await find("offset", 50n), 5);
        assert.equal(await find("offset", 51n), 6);
        assert.equal(await find("offset", 0n), 1);
        assert.equal(await find("offset", 91n), undefined);
        assert.equal(await find("membershipVersion", 2n), 4);
        assert.equal(await find("messageId", 7n << 22n), 7);
        assert.equal((await store.findRow(CONVERSATION, 4, "offset", 50n))?.seq, undefined);
        assert.equal(await store.findRow(OTHER, 9, "offset", 1n), undefined);
      }),
    );

    it(
      "finds the entry below an offset",
      withStore(async (store) => {
        await write(store, conversation({ state: state(1), dedupe: [entry("m1", 4)] }));
        const find = async (clientMessageId: string, beforeOffset: number) => {
          const { key } = entry(clientMessageId, 0);
          return (await store.findDedupe([{ key, beforeOffset }]))[0]?.offset;
        };
        assert.equal(await find("m1", 5), 4);
        assert.equal(await find("m1", 4), undefined, "its own");
        assert.equal(await find("m2", 5), undefined);
        await write(store, conversation({ state: state(2), dedupe: [entry("m1", 9)] }));
        assert.equal(await find("m1", 10), 9, "the newest");
        const other = { ...entry("m1", 0).key, deviceId: "e" };
        assert.deepEqual(await store.findDedupe([{ key: other, beforeOffset: 99 }]), [undefined]);
      }),
    );

    it(
      "lets no late write move a head or members back",
      withStore(async (store) => {
        const both = { ann: { joinedSeq: 1, maySend: true }, ben: { joinedSeq: 2, maySend: true } };
        const early = conversation({
          state: state(2, both),
          rows: rows(1, 2),
          membersPut: ["ann", "ben"],
        });
        await write(store, early);
        const late = state(3);
        await write(store, conversation({ state: late, rows: [row(3)], membersRemoved: ["ben"] }));
        await write(store, early);
        assert.deepEqual((await store.loadConversations([CONVERSATION])).get(CONVERSATION), late);
        // And once more when what is newer has come to rest.
        await store.write(batch([], { checkpoint: { replayOffset: 1, endOffset: 1 } })).durable;
        await write(store, early);

        assert.deepEqual((await store.loadConversations([CONVERSATION])).get(CONVERSATION), late);
        assert.deepEqual(await seqs(store, {}), [1, 2, 3]);
      }),
    );

    it(
      "writes the same twice without a difference",
      withStore(async (store) => {
        const same = conversation({ state: state(2), rows: rows(1, 2), membersPut: ["ann"] });
        await write(store, same);
        await write(store, same);
        assert.deepEqual(
          (await store.loadConversations([CONVERSATION])).get(CONVERSATION),
          state(2),
        );
        assert.deepEqual(await seqs(store, {}), [1, 2]);
      }),
    );

    it(
      "lets members go and come back",
      withStore(async (store) => {
        const ben = { joinedSeq: 2, maySend: true };
        const ann = { joinedSeq: 1, maySend: true };
        await write(
          store,
          conversation({ state: state(2, { ann, ben }), membersPut: ["ann", "ben"] }),
        );
        await write(
          store,
          conversation({
            state: state(3, { ann }),
            membersRemoved: ["ben"],
            closedWindows: [{ userId: "ben", joinedSeq: 2, leftSeq: 3 }],
          }),
        );
        const back = state(4, { ann, ben: { joinedSeq: 4, maySend: false } });
        await write(store, conversation({ state: back, membersPut: ["ben"] }));
        assert.deepEqual((await store.loadConversations([CONVERSATION])).get(CONVERSATION), back);
        assert.deepEqual(await store.readClosedWindows(CONVERSATION, "ben"), [
          { userId: "ben", joinedSeq: 2, leftSeq: 3 },
        ]);
        assert.deepEqual(await store.readClosedWindows(CONVERSATION, "be"), []);
        assert.deepEqual(await store.readClosedWindows(OTHER, "ben"), []);
      }),
    );

    it(
      "gives the newest windows of somebody who keeps coming and going",
      withStore(async (store) => {
        const closedWindows = Array.from({ length: 70 }, (_, at) => ({
          userId: "ben",
          joinedSeq: at * 10 + 1,
          leftSeq: at * 10 + 5,
        }));
        await write(store, conversation({ state: state(1), closedWindows }));
        const found = await store.readClosedWindows(CONVERSATION, "ben");
        assert.deepEqual(found, closedWindows.slice(-64));
      }),
    );

    it(
      "raises receipts from both sides and never lowers them",
      withStore(async (store) => {
        const receipt = (deliveredSeq: number, readSeq: number, updateTimeMs: number) => ({
          userId: "ann",
          deliveredSeq,
          readSeq,
          updateTimeMs,
        });
        const raise = (...positions: Parameters<typeof receipt>) =>
          store.raiseReceipt(CONVERSATION, receipt(...positions));
        assert.deepEqual(await raise(5, 3, 100), {
          receipt: receipt(5, 3, 100),
          deliveredGrew: true,
        });
        assert.deepEqual(await raise(4, 2, 200), {
          receipt: receipt(5, 3, 100),
          deliveredGrew: false,
        });
        await write(store, conversation({ state: state(9), receipts: [receipt(4, 4, 300)] }));
        const [raised] = await store.readReceipts(CONVERSATION, ["ann"]);
        assert.deepEqual(raised, receipt(5, 4, 300));
        await write(store, conversation({ state: state(10), receipts: [receipt(1, 1, 400)] }));
        assert.deepEqual((await store.readReceipts(CONVERSATION, ["ann"]))[0], receipt(5, 4, 300));
        const read = { receipt: receipt(5, 5, 500), deliveredGrew: false };
        assert.deepEqual(await raise(5, 5, 500), read, "reading what was delivered");
        const both = await Promise.all([raise(7, 7, 600), raise(7, 7, 600)]);
        assert.deepEqual(both.map(({ deliveredGrew }) => deliveredGrew).sort(), [false, true]);
        assert.equal((await store.readReceipts(OTHER, ["ann"]))[0]?.readSeq, 0);
      }),
    );

    it(
      "lists parked records in order, page by page, each once",
      withStore(async (store) => {
        const records = [
          [3, 300],
          [3, FAR],
          [4, 1],
          [11, 0],
        ].map(([partition = 0, offset = 0]) => parkedRecord("messages", partition, offset));
        for (const record of [...records.toReversed(), ...records]) {
          await store.write(batch([], { parked: [record] })).readable;
        }
        assert.deepEqual(await store.readParked(undefined, 10), records);
        assert.deepEqual(await store.readParked(undefined, 2), records.slice(0, 2));
        assert.deepEqual(await store.readParked(records[1], 10), records.slice(2));
        assert.deepEqual(await store.readParked(records[3], 10), []);
      }),
    );

    it("purges what is old, in steps, and nothing else", async () => {
      await using medium = await createMedium();
      const old = Array.from({ length: 50 }, (_, at) => entry(`old-${at}`, at, TIME_MS));
      const renewed = { ...entry("old-0", 60), appendTimeMs: TIME_MS + 10_000 };
      {
        await using store = await medium.open();
        for (const [at, each] of old.entries()) {
          await store.write(batch([conversation({ state: state(at + 1), dedupe: [each] })]))
            .durable;
        }
        const later = conversation({ state: state(70), dedupe: [renewed] });
        await store.write(batch([later])).durable;
      }
      await using store = await medium.open();
      const queries = old.map(({ key }) => ({ key, beforeOffset: FAR }));
      const left = async () => (await store.findDedupe(queries)).filter((found) => found).length;
      assert.equal(await store.purgeDedupe(TIME_MS, 1000), false, "nothing is old yet");
      assert.equal(await left(), 50);
      if (dedupeExpires) {
        assert.equal(await store.purgeDedupe(TIME_MS + 5000, 10), false);
        assert.equal(await left(), 50);
        return;
      }
      assert.equal(await store.purgeDedupe(TIME_MS + 5000, 10), true);
      const after = await left();
      assert.ok(after < 50 && after >= 30, `${after} are left after a step of 10`);
      while (await store.purgeDedupe(TIME_MS + 5000, 10));
      assert.deepEqual(
        (await store.findDedupe(queries)).filter((found) => found),
        [renewed],
      );
    });

    it(
      "keeps conversations apart in one batch",
      withStore(async (store) => {
        const other = state(2, { zoe: { joinedSeq: 1, maySend: true } }, { conversationId: OTHER });
        await write(
          store,
          conversation({ state: state(3), rows: rows(1, 3), membersPut: ["ann"] }),
          conversation({ state: other, rows: rows(1, 2), membersPut: ["zoe"] }),
        );
        const loaded = await store.loadConversations([OTHER, CONVERSATION]);
        assert.deepEqual(loaded.get(OTHER), other);
        assert.deepEqual(loaded.get(CONVERSATION), state(3));
        assert.deepEqual(await seqs(store, { conversationId: OTHER }), [1, 2]);
      }),
    );
  });
}

function parkedRecord(topic: string, partition: number, offset: number): StoredParkedRecord {
  const reason = "The bytes are no ConversationRecord.";
  return { topic, partition, offset, appendTimeMs: TIME_MS, sizeBytes: 12, reason };
}
