/** What the contract cannot say: an engine that does not answer, entries that expire, tables of another version. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  ConversationKind,
  EncryptionMode,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { createManualClock } from "@parley/platform/clock";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { type CassandraSession, connectCassandra } from "@parley/platform/storage/engine/cassandra";
import {
  CassandraSchemaError,
  CassandraUnavailableError,
} from "@parley/platform/storage/engine/cassandra-client";
import { openHeldProxy } from "@parley/platform/storage/engine/testing/held-proxy";
import {
  createTestKeyspace,
  TEST_CONTACT_POINT,
} from "@parley/platform/storage/engine/testing/test-keyspace";
import fc from "fast-check";
import type { ConversationState, StoredRow } from "../domain/conversation.ts";
import type { DedupeEntry } from "../domain/dedupe.ts";
import type { MessageStore, StoreBatch } from "../ports.ts";
import { type CassandraMedium, createCassandraMedium } from "../testing/cassandra-medium.ts";
import { createCassandraMessageStore } from "./cassandra-message-store.ts";
import { timestampOf } from "./cassandra-values.ts";
import { migrateCassandra } from "./migrations.ts";

const ROWS_PER_BUCKET = 7;
const NOW_MS = 1_760_000_000_000;

let medium: CassandraMedium;
before(async () => {
  medium = await createCassandraMedium({ rowsPerBucket: ROWS_PER_BUCKET });
});
after(() => medium[Symbol.asyncDispose]());

function rowOf(seq: number, eventBytes = 50): StoredRow {
  return {
    seq,
    messageId: BigInt(seq) << 22n,
    offset: seq * 3,
    appendTimeMs: NOW_MS + seq,
    unreadOrdinal: seq,
    membershipVersion: 1 + Math.floor(seq / 5),
    senderUserId: "ann",
    event: new Uint8Array(eventBytes).fill(seq),
  };
}

function stateOf(conversationId: string, last: StoredRow): ConversationState {
  return {
    conversationId,
    kind: ConversationKind.DIRECT,
    encryptionMode: EncryptionMode.END_TO_END,
    directUserIds: ["ann", "ben"],
    lastSeq: last.seq,
    lastMessageId: last.messageId,
    lastProcessedOffset: last.offset,
    lastAppendTimeMs: last.appendTimeMs,
    unreadOrdinal: last.unreadOrdinal,
    membershipVersion: last.membershipVersion,
    members: new Map([["ann", { joinedSeq: 1, maySend: true }]]),
  };
}

function entryOf(conversationId: string, row: StoredRow): DedupeEntry {
  const key = { conversationId, userId: "ann", deviceId: "d", clientMessageId: `m${row.seq}` };
  const { offset, seq, messageId, appendTimeMs } = row;
  return { key, offset, seq, messageId, appendTimeMs };
}

function batchOf(conversationId: string, rows: readonly StoredRow[]): StoreBatch {
  const last = rows.at(-1) ?? rowOf(1);
  return {
    partition: 0,
    conversations: [
      {
        state: stateOf(conversationId, last),
        rows,
        dedupe: rows.map((row) => entryOf(conversationId, row)),
        closedWindows: [],
        membersPut: ["ann"],
        membersRemoved: [],
        receipts: [],
      },
    ],
    parked: [],
    checkpoint: { replayOffset: last.offset + 1, endOffset: last.offset + 1 },
  };
}

function rowsOf(first: number, last: number, eventBytes?: number): StoredRow[] {
  return Array.from({ length: last - first + 1 }, (_, at) => rowOf(first + at, eventBytes));
}

async function everything(store: MessageStore, conversationId: string) {
  const query = { conversationId, fromSeq: 1, toSeq: 1000, rowsMax: 1000, bytesMax: 1e9 };
  const rows = await store.readRows(query);
  return {
    state: (await store.loadConversations([conversationId])).get(conversationId),
    rows: rows.map((row) => ({ ...row, event: new Uint8Array(row.event) })),
  };
}

/** Runs something on a session whose writes fail after the first few. True if one did. */
async function dieAfter(
  writes: number,
  run: (session: CassandraSession) => Promise<void>,
): Promise<boolean> {
  let left = writes;
  const { session } = medium;
  const dying: CassandraSession = {
    keyspace: session.keyspace,
    read: (...query) => session.read(...query),
    writeIfAbsent: (statement) => session.writeIfAbsent(statement),
    async write(...statements) {
      if (statements.length === 0) return;
      if (left-- <= 0) throw new CassandraUnavailableError("died");
      await session.write(...statements);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  try {
    await run(dying);
    return false;
  } catch (error) {
    assert.ok(error instanceof CassandraUnavailableError);
    return true;
  }
}

describe("the Cassandra store", () => {
  it("gives the same rows when writes have no answer in time and are repeated", async () => {
    await using proxy = await openHeldProxy(TEST_CONTACT_POINT);
    const config = { ...medium.config, contactPoints: [proxy.address] };
    const session = await connectCassandra({
      config,
      applicationName: "test",
      requestTimeoutMs: 400,
      attemptsMax: 10,
    });
    await using _closed = session;
    await using slow = await medium.open({ session });
    const conversationId = newUuid();
    for (let first = 1; first <= 31; first += 10) {
      proxy.hold();
      const released = setTimeout(() => proxy.release(), 500);
      await slow.write(batchOf(conversationId, rowsOf(first, first + 9))).readable;
      clearTimeout(released);
    }
    assert.deepEqual(await everything(slow, conversationId), {
      state: stateOf(conversationId, rowOf(40)),
      rows: rowsOf(1, 40),
    });
    const queries = rowsOf(1, 40).map((row) => ({
      key: entryOf(conversationId, row).key,
      beforeOffset: 1000,
    }));
    assert.deepEqual(
      await slow.findDedupe(queries),
      rowsOf(1, 40).map((row) => entryOf(conversationId, row)),
    );
  });

  it("refuses in words while nothing answers, and goes on with the same batch", async () => {
    await using proxy = await openHeldProxy(TEST_CONTACT_POINT);
    const config = { ...medium.config, contactPoints: [proxy.address] };
    const limits = { requestTimeoutMs: 200, operationTimeoutMs: 700 };
    const session = await connectCassandra({ config, applicationName: "test", ...limits });
    await using _closed = session;
    const clock = createManualClock();
    const told: (number | "recovered")[] = [];
    await using store = await medium.open({
      session,
      clock,
      onProblem: (error, attempt) => {
        assert.ok(error instanceof CassandraUnavailableError);
        told.push(attempt);
      },
      onRecovered: () => told.push("recovered"),
    });
    const conversationId = newUuid();
    const batch = batchOf(conversationId, rowsOf(1, 3));
    const receipt = { userId: "ann", deliveredSeq: 2, readSeq: 2, updateTimeMs: NOW_MS };
    proxy.hold();
    assert.equal(store.full, false);
    const { readable, durable } = store.write(batch);
    await assert.rejects(readable, CassandraUnavailableError);
    assert.equal(store.full, true);
    const raised = store.raiseReceipt(conversationId, receipt);
    await assert.rejects(raised, (error) => reasonOf(error) === "STORE_NOT_WRITABLE");
    const loaded = store.loadConversations([conversationId]);
    await assert.rejects(loaded, (error) => reasonOf(error) === "STORE_NOT_READABLE");
    await assert.rejects(store.write(batch).readable, CassandraUnavailableError);
    clock.advance(20_000);
    assert.equal(store.full, false, "the batch may come to somebody else");
    await assert.rejects(
      store.raiseReceipt(conversationId, receipt),
      (error) => reasonOf(error) === "STORE_NOT_WRITABLE",
    );
    proxy.release();
    await store.write(batch).durable;
    assert.equal(await Promise.race([durable.then(() => "settled"), "open"]), "open");
    assert.deepEqual(told, [1, 2, "recovered"]);
    assert.equal((await everything(store, conversationId)).rows.length, 3);
    assert.equal((await store.raiseReceipt(conversationId, receipt)).deliveredGrew, true);
  });

  it("is as before or as after, wherever it dies, and whole when it is written again", async () => {
    const members = (...userIds: string[]) =>
      new Map(userIds.map((userId) => [userId, { joinedSeq: 1, maySend: true }]));
    let deaths = 0;
    for (let left = 0; deaths === left; left++) {
      const conversationId = newUuid();
      const before = { ...stateOf(conversationId, rowOf(6)), members: members("ann", "ben") };
      const state = { ...stateOf(conversationId, rowOf(9)), members: members("ann", "cem") };
      const first = batchOf(conversationId, rowsOf(1, 6));
      const second = batchOf(conversationId, rowsOf(7, 9));
      const window = { userId: "ben", joinedSeq: 1, leftSeq: 8 };
      const receipt = { userId: "ann", deliveredSeq: 9, readSeq: 9, updateTimeMs: NOW_MS };
      const [begun, changed] = [first.conversations[0], second.conversations[0]];
      assert.ok(begun !== undefined && changed !== undefined);
      await using store = await medium.open();
      const beginning = { ...begun, state: before, membersPut: ["ann", "ben"] };
      await store.write({ ...first, conversations: [beginning] }).durable;
      const batch = {
        ...second,
        conversations: [
          {
            ...changed,
            state,
            closedWindows: [window],
            membersPut: ["cem"],
            membersRemoved: ["ben"],
            receipts: [receipt],
          },
        ],
      };
      const died = await dieAfter(left, async (session) => {
        await using dying = await medium.open({ session, onProblem: () => undefined });
        await dying.write(batch).readable;
      });
      if (died) deaths++;
      const whole = async () => {
        assert.deepEqual(await everything(store, conversationId), { state, rows: rowsOf(1, 9) });
        assert.deepEqual(await store.readClosedWindows(conversationId, "ben"), [window]);
        assert.deepEqual(await store.readReceipts(conversationId, ["ann"]), [receipt]);
        const { key } = entryOf(conversationId, rowOf(9));
        assert.equal((await store.findDedupe([{ key, beforeOffset: 1000 }]))[0]?.seq, 9);
      };
      const found = await everything(store, conversationId);
      if (found.state?.lastSeq === 9) await whole();
      else assert.deepEqual(found.state, before);
      await store.write(batch).durable;
      await whole();
    }
    assert.ok(deaths >= 8, `it died at ${deaths} places only`);
  });

  it("ends what is being written when it is disposed of", async () => {
    const store = await medium.open();
    const conversationId = newUuid();
    const batch = { ...batchOf(conversationId, rowsOf(1, 3)), partition: 9 };
    const { readable, durable } = store.write(batch);
    await store[Symbol.asyncDispose]();
    await Promise.all([readable, durable]);
    const late = store.write(batchOf(conversationId, rowsOf(1, 4)));
    await assert.rejects(late.readable);
    await assert.rejects(late.durable);
    await using again = await medium.open();
    assert.equal((await everything(again, conversationId)).rows.length, 3);
    assert.equal((await again.loadCheckpoint(9))?.replayOffset, rowOf(3).offset + 1);
  });

  it("forgets dedupe entries when their time is over", async () => {
    await using store = await medium.open({ dedupeKeptMs: 2000 });
    const conversationId = newUuid();
    await store.write(batchOf(conversationId, rowsOf(1, 1))).readable;
    const { key } = entryOf(conversationId, rowOf(1));
    const find = async () => (await store.findDedupe([{ key, beforeOffset: 100 }]))[0]?.seq;
    assert.equal(await find(), 1);
    const [kept] = await medium.session.read(
      "SELECT TTL(seq) AS left FROM message_dedupe WHERE conversation_id = ? AND user_id = ? " +
        "AND device_id = ? AND client_message_id = ?",
      [conversationId, key.userId, key.deviceId, key.clientMessageId],
    );
    assert.ok(Number(kept?.left) <= 2);
    const endMs = performance.now() + 10_000;
    while ((await find()) !== undefined) assert.ok(performance.now() < endMs, "it is still there");
    assert.equal((await everything(store, conversationId)).rows.length, 1, "rows stay");
  });

  it("takes events of every size, and reads them within bounds", async () => {
    await using store = await medium.open();
    const conversationId = newUuid();
    const sizes = [1, 300_000, 0, 30_000, 30_000, 30_000, 50, 256 * 1024, 10];
    const rows = sizes.map((bytes, at) => rowOf(at + 1, bytes));
    await store.write(batchOf(conversationId, rows)).readable;
    assert.deepEqual((await everything(store, conversationId)).rows, rows);
    const query = { conversationId, fromSeq: 9, toSeq: 1, rowsMax: 100, bytesMax: 300_000 };
    const seqs = (await store.readRows(query)).map(({ seq }) => seq);
    assert.deepEqual(seqs, [9, 8, 7, 6]);
  });

  it("finds and reads across buckets what a look at each row finds", async (t) => {
    await using store = await medium.open();
    const conversationId = newUuid();
    const rows = rowsOf(1, 60);
    await store.write(batchOf(conversationId, rows)).readable;
    const seed = Date.now() | 0;
    t.diagnostic(`seed ${seed}`);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("messageId", "offset", "membershipVersion"),
        fc.integer({ min: -1, max: 200 }),
        fc.integer({ min: 0, max: 60 }),
        fc.integer({ min: 1, max: 62 }),
        async (by, value, lastSeq, toSeq) => {
          const sought = by === "messageId" ? (BigInt(value) << 22n) + 1n : BigInt(value);
          const expected = rows.find((row) => row.seq <= lastSeq && BigInt(row[by]) >= sought);
          const found = await store.findRow(conversationId, lastSeq, by, sought);
          assert.equal(found?.seq, expected?.seq);
          const fromSeq = Math.max(1, lastSeq);
          const query = { conversationId, fromSeq, toSeq, rowsMax: 20, bytesMax: 1e6 };
          const read = (await store.readRows(query)).map(({ seq }) => seq);
          const between = rows
            .map(({ seq }) => seq)
            .filter((seq) => seq >= Math.min(fromSeq, toSeq) && seq <= Math.max(fromSeq, toSeq));
          const ordered = fromSeq <= toSeq ? between : between.reverse();
          assert.deepEqual(read, ordered.slice(0, 20));
        },
      ),
      { numRuns: 150, seed },
    );
  });

  it("opens on its own tables only", async () => {
    await using keyspace = createTestKeyspace();
    const options = { config: keyspace.config, dedupeKeptMs: 1000, onProblem: assert.fail };
    const open = () => createCassandraMessageStore(options);
    const asksToMigrate = (error: unknown) =>
      error instanceof CassandraSchemaError && /`parley migrate`/.test(error.message);
    await assert.rejects(open(), asksToMigrate);
    const applied = await migrateCassandra(keyspace.config);
    assert.deepEqual(applied, ["message/0001-tables"]);
    assert.deepEqual(await migrateCassandra(keyspace.config), []);
    await (await open())[Symbol.asyncDispose]();
    const { keyspace: name } = keyspace.config;
    await keyspace.execute(
      `INSERT INTO ${name}.schema_migrations (component, version) VALUES ('message', 2)`,
    );
    await assert.rejects(open(), asksToMigrate);
  });
});

describe("write timestamps", () => {
  it("grow with the epoch first, then with the position", () => {
    const place = fc.tuple(fc.integer({ min: 1, max: 90 }), fc.nat({ max: 2 ** 44 - 1 }));
    fc.assert(
      fc.property(place, place, (a, b) => {
        const expected = a[0] - b[0] || a[1] - b[1];
        const difference = timestampOf(...a) - timestampOf(...b);
        assert.equal(difference < 0n, expected < 0);
        assert.equal(difference === 0n, expected === 0);
      }),
    );
  });

  it("are never ahead of a clock, and none is made of what is no offset", () => {
    assert.ok(timestampOf(90, 2 ** 44 - 1) < BigInt(Date.UTC(2025, 0, 1)) * 1000n);
    assert.throws(() => timestampOf(1, -1), RangeError);
    assert.throws(() => timestampOf(1, 2 ** 44), RangeError);
  });
});
