import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  ConversationKind,
  EncryptionMode,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { ConversationState, StoredRow } from "../domain/conversation.ts";
import { messageStoreContract } from "../ports.contract.ts";
import type { MessageStore, StoreBatch } from "../ports.ts";
import { createLmdbMessageStore, type LmdbMessageStore } from "./lmdb-message-store.ts";
import { MessageStoreOpenError } from "./lmdb-tables.ts";

function temporaryDirectory() {
  const directory = mkdtempSync(join(tmpdir(), "parley-lmdb-"));
  return {
    directory,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function open(directory: string, commitDelayMs?: number): Promise<LmdbMessageStore> {
  return createLmdbMessageStore({
    directory,
    onProblem: (error) => assert.fail(String(error)),
    ...(commitDelayMs === undefined ? {} : { commitDelayMs }),
  });
}

for (const [name, commitDelayMs] of [
  ["LMDB", undefined],
  ["LMDB, read from memory,", 60_000],
] as const) {
  messageStoreContract(name, async () => {
    const temporary = temporaryDirectory();
    return {
      async open() {
        const store = await open(temporary.directory, commitDelayMs);
        if (commitDelayMs === undefined) return store;
        // What waits for the disk asks for a commit; everything else is read from the layer that collects.
        const raiseReceipt = store.raiseReceipt.bind(store);
        store.raiseReceipt = async (...receipt) => {
          const raised = raiseReceipt(...receipt);
          await store.flush();
          return raised;
        };
        const write = store.write.bind(store);
        store.write = (batch) => {
          const { readable, durable } = write(batch);
          return {
            readable,
            get durable() {
              return store.flush().then(() => durable);
            },
          };
        };
        return store;
      },
      [Symbol.asyncDispose]: async () => temporary[Symbol.dispose](),
    };
  });
}

const CONVERSATION = "01990000-0000-7000-8000-000000000001";

function message(seq: number, eventBytes = 100): { state: ConversationState; row: StoredRow } {
  const row: StoredRow = {
    seq,
    messageId: BigInt(seq),
    offset: seq,
    appendTimeMs: seq,
    unreadOrdinal: seq,
    membershipVersion: 1,
    senderUserId: "ann",
    event: new Uint8Array(eventBytes).fill(seq),
  };
  const state: ConversationState = {
    conversationId: CONVERSATION,
    kind: ConversationKind.DIRECT,
    encryptionMode: EncryptionMode.SERVER_READABLE,
    directUserIds: ["ann", "ben"],
    lastSeq: seq,
    lastMessageId: row.messageId,
    lastProcessedOffset: seq,
    lastAppendTimeMs: seq,
    unreadOrdinal: seq,
    membershipVersion: 1,
    members: new Map([["ann", { joinedSeq: 1, maySend: true }]]),
  };
  return { state, row };
}

function batchOf(seq: number, eventBytes?: number): StoreBatch {
  const { state, row } = message(seq, eventBytes);
  return {
    partition: 0,
    conversations: [
      {
        state,
        rows: [row],
        dedupe: [],
        closedWindows: [],
        membersPut: seq === 1 ? ["ann"] : [],
        membersRemoved: [],
        receipts: [],
      },
    ],
    parked: [],
    checkpoint: { replayOffset: seq, endOffset: seq + 1 },
  };
}

async function lastSeq(store: MessageStore): Promise<number> {
  return (await store.loadConversations([CONVERSATION])).get(CONVERSATION)?.lastSeq ?? 0;
}

async function rowCount(store: MessageStore): Promise<number> {
  const query = { conversationId: CONVERSATION, fromSeq: 1, toSeq: 1e6, rowsMax: 1e6 };
  return (await store.readRows({ ...query, bytesMax: 1e12 })).length;
}

describe("the LMDB store", () => {
  it("reads at every moment what was written, while commits come and go", async () => {
    using temporary = temporaryDirectory();
    await using store = await open(temporary.directory, 1);
    for (let seq = 1; seq <= 400; seq++) {
      await store.write(batchOf(seq)).readable;
      assert.equal(await lastSeq(store), seq);
      if (seq % 20 === 0) assert.equal(await rowCount(store), seq);
      if (seq % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  });

  it("is, in a copy taken at any commit, as after some batch, with the checkpoint of that batch", async () => {
    using temporary = temporaryDirectory();
    const copies: string[] = [];
    {
      await using store = await open(join(temporary.directory, "store"), 0);
      for (let seq = 1; seq <= 60; seq++) {
        const { durable } = store.write(batchOf(seq));
        if (seq % 6 !== 0) continue;
        await durable;
        const copy = join(temporary.directory, `copy-${seq}`);
        cpSync(join(temporary.directory, "store"), copy, { recursive: true });
        copies.push(copy);
      }
    }
    for (const [at, copy] of copies.entries()) {
      await using store = await open(copy);
      const seq = (at + 1) * 6;
      assert.equal(await lastSeq(store), seq);
      assert.equal(await rowCount(store), seq);
      assert.deepEqual(await store.loadCheckpoint(0), { replayOffset: seq, endOffset: seq + 1 });
    }
  });

  it("keeps a writer waiting that is faster than the disk, in bounded memory", async () => {
    using temporary = temporaryDirectory();
    await using store = await open(temporary.directory, 60_000);
    let waited = 0;
    for (let seq = 1; seq <= 40; seq++) {
      const written = store.write(batchOf(seq, 256 * 1024));
      let done = false;
      const readable = written.readable.then(() => {
        done = true;
      });
      await Promise.resolve();
      await Promise.resolve();
      if (!done) waited++;
      await readable;
    }
    assert.ok(waited > 0, "10 MiB went into memory without a wait");
    assert.equal(await rowCount(store), 40);
  });

  it("keeps a dedupe entry that is renewed while old ones are removed", async () => {
    using temporary = temporaryDirectory();
    await using store = await open(temporary.directory, 60_000);
    const key = {
      conversationId: CONVERSATION,
      userId: "ann",
      deviceId: "d",
      clientMessageId: "m",
    };
    const write = (seq: number) => {
      const batch = batchOf(seq);
      const dedupe = [{ key, offset: seq, seq, messageId: BigInt(seq), appendTimeMs: seq * 1000 }];
      const conversations = batch.conversations.map((one) => ({ ...one, dedupe }));
      store.write({ ...batch, conversations });
    };
    write(1);
    await store.flush();
    write(5);
    const renewing = store.flush();
    const removing = store.purgeDedupe(2000, 100);
    assert.equal(await removing, false);
    await renewing;
    const [found] = await store.findDedupe([{ key, beforeOffset: 100 }]);
    assert.equal(found?.seq, 5);
    await store.purgeDedupe(9000, 100);
    assert.deepEqual(await store.findDedupe([{ key, beforeOffset: 100 }]), [undefined]);
  });

  it("is created for its owner alone", async () => {
    using temporary = temporaryDirectory();
    const directory = join(temporary.directory, "mess.age");
    await using _store = await open(directory);
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    for (const name of readdirSync(directory)) {
      assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name);
    }
  });

  it("refuses a damaged file by name, and says what to do", async () => {
    using temporary = temporaryDirectory();
    const { directory } = temporary;
    {
      await using store = await open(directory);
      for (let seq = 1; seq <= 50; seq++) store.write(batchOf(seq, 1000));
    }
    const file = join(directory, "data.mdb");
    truncateSync(file, statSync(file).size / 2);
    await assert.rejects(open(directory), (error) => {
      assert.ok(error instanceof MessageStoreOpenError);
      assert.ok(error.message.includes(`${file} is damaged`), error.message);
      assert.match(error.message, /restore .* from a backup or, .* move this directory aside/);
      assert.match(error.message, /PARLEY_DATA_DIRECTORY/);
      return true;
    });
  });

  it("has a receipt on disk when it answers", async () => {
    using temporary = temporaryDirectory();
    const copy = `${temporary.directory}-copy`;
    {
      await using store = await open(temporary.directory);
      const receipt = { userId: "ann", deliveredSeq: 2, readSeq: 2, updateTimeMs: 1 };
      await store.raiseReceipt(CONVERSATION, receipt);
      cpSync(temporary.directory, copy, { recursive: true });
    }
    {
      await using store = await open(copy);
      assert.equal((await store.readReceipts(CONVERSATION, ["ann"]))[0]?.readSeq, 2);
    }
    rmSync(copy, { recursive: true });
  });
});
