/** What the inbox store does when the cluster does not answer, has other tables, or other instances write too. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { reasonOf } from "@parley/platform/errors";
import type {
  CassandraSession,
  CassandraStatement,
} from "@parley/platform/storage/engine/cassandra";
import {
  CassandraSchemaError,
  CassandraUnavailableError,
} from "@parley/platform/storage/engine/cassandra-client";
import { createTestKeyspace } from "@parley/platform/storage/engine/testing/test-keyspace";
import fc from "fast-check";
import { changeMembers, type Members, NO_MEMBERS } from "../domain/conversation.ts";
import { changeRow, type InboxRow, type RowChange, toInboxItem } from "../domain/inbox-row.ts";
import { type InboxWrite, StoreClosedError } from "../ports.ts";
import { type CassandraMedium, createCassandraMedium } from "../testing/cassandra-medium.ts";
import { createCassandraInboxStore } from "./cassandra-inbox-store.ts";
import { migrateCassandra } from "./migrations.ts";

const conversationId = "00000000-0000-4000-8000-000000000001";

let created: Promise<CassandraMedium> | undefined;
after(async () => (await created)?.[Symbol.asyncDispose]());

async function emptyMedium() {
  created ??= createCassandraMedium();
  const medium = await created;
  return { medium, [Symbol.asyncDispose]: () => medium.wipe() };
}

function entryAt(seq: number, members: Members, id = conversationId): InboxWrite {
  const place = BigInt(seq);
  const head = { seq: place, messageId: place, unreadOrdinal: place, offset: place };
  const kind = ConversationKind.GROUP;
  const rows = members.userIds.map(
    (userId): RowChange => ({ kind: "joined", userId, seq: 1n, unreadOrdinal: 0n }),
  );
  return { conversationId: id, conversation: { conversationId: id, kind, head, members }, rows };
}

const annAndBob = changeMembers(NO_MEMBERS, {
  ...{ version: 1n, seq: 1n, joined: ["ann", "bob"], left: [] },
});

/** A session that can be cut off. */
function cuttableSession({ session }: CassandraMedium) {
  const state = { cut: false, attempts: 0 };
  const check = () => {
    state.attempts++;
    if (state.cut) throw new CassandraUnavailableError("cut off");
  };
  return {
    state,
    async read(...query: Parameters<CassandraSession["read"]>) {
      check();
      return await session.read(...query);
    },
    async write(...statements: readonly CassandraStatement[]) {
      check();
      await session.write(...statements);
    },
  };
}

describe("the inbox store on Cassandra", () => {
  it("makes writers wait while nothing answers, and says so once", async () => {
    await using empty = await emptyMedium();
    const session = cuttableSession(empty.medium);
    const said: string[] = [];
    const problem = Promise.withResolvers<void>();
    const store = await empty.medium.open({
      session,
      onProblem() {
        said.push("problem");
        problem.resolve();
      },
      onRecovered: () => void said.push("recovered"),
    });
    session.state.cut = true;
    const written = [1, 2, 3].map((seq) => store.write(entryAt(seq, annAndBob)));
    const saved = store.saveReplayOffset(0, 7);
    await problem.promise;
    assert.equal(store.full, true);
    await assert.rejects(
      store.readConversation(conversationId),
      (error) => reasonOf(error) === "INBOX_NOT_READABLE",
    );
    session.state.cut = false;
    await Promise.all([saved, ...written.map(({ durable }) => durable)]);
    assert.equal(store.full, false);
    assert.deepEqual(said, ["problem", "recovered"]);
    assert.equal((await store.readConversation(conversationId))?.head.seq, 3n);
    assert.equal((await store.readPlace(0))?.replayOffset, 7);
  });

  it("gives up what cannot be written when it is closed", async () => {
    await using empty = await emptyMedium();
    const session = cuttableSession(empty.medium);
    const problem = Promise.withResolvers<void>();
    const store = await empty.medium.open({ session, onProblem: () => problem.resolve() });
    session.state.cut = true;
    const writes = [1, 2].map((seq) => store.write(entryAt(seq, annAndBob)));
    const saved = assert.rejects(store.saveReplayOffset(0, 7), StoreClosedError);
    await problem.promise;
    await store[Symbol.asyncDispose]();
    await saved;
    for (const { visible, durable } of writes) {
      await visible;
      await assert.rejects(durable, StoreClosedError);
    }
  });

  it("writes what waits when it is closed", async () => {
    await using empty = await emptyMedium();
    const store = await empty.medium.open();
    const writes = [1, 2, 3].map((seq) => store.write(entryAt(seq, annAndBob)));
    await store[Symbol.asyncDispose]();
    await Promise.all(writes.map(({ durable }) => durable));
    const next = await empty.medium.open();
    assert.equal((await next.readConversation(conversationId))?.head.seq, 3n);
  });

  it("shows members that another instance has changed, and keeps them against a late one", async () => {
    await using empty = await emptyMedium();
    const [first, second] = [await empty.medium.open(), await empty.medium.open()];
    await first.write(entryAt(3, annAndBob)).durable;
    await first.readConversation(conversationId);
    const change = { version: 2n, seq: 4n, joined: [], left: ["bob"] };
    await second.write(entryAt(4, changeMembers(annAndBob, change))).durable;
    await first.write(entryAt(3, annAndBob)).durable;
    for (const store of [first, second]) {
      const conversation = await store.readConversation(conversationId);
      assert.deepEqual(conversation?.members.userIds, ["ann"]);
      assert.equal(conversation?.head.seq, 4n);
    }
  });

  it("gives what moved past the reader, also when nothing is left below and another instance moved it", async () => {
    await using empty = await emptyMedium();
    const [reader, writer] = [await empty.medium.open(), await empty.medium.open()];
    const id = (number: number) => `00000000-0000-4000-8000-00000000000${number}`;
    for (const number of [1, 2, 3, 4]) {
      await writer.write(entryAt(number, annAndBob, id(number))).durable;
    }
    const first = await reader.listByNewest("ann", "", 3);
    await writer.write(entryAt(9, annAndBob, id(1))).durable;
    const rest = await reader.listByNewest("ann", first.at(-1)?.nextPageToken ?? "", 3);
    assert.ok(rest.some((item) => item.conversationId === id(1)));
  });

  it("keeps the first of two logs", async () => {
    await using empty = await emptyMedium();
    const [first, second] = [await empty.medium.open(), await empty.medium.open()];
    await first.writeIdentity({ epoch: "a", partitionCount: 4 });
    await second.writeIdentity({ epoch: "b", partitionCount: 8 });
    assert.deepEqual(await second.readIdentity(), { epoch: "a", partitionCount: 4 });
  });

  it("ends with the row that the log's order gives, whatever the order of changes", async () => {
    await using empty = await emptyMedium();
    const store = await empty.medium.open();
    let number = 0;
    await fc.assert(
      fc.asyncProperty(changesArbitrary, async ({ changes, order }) => {
        const id = `00000000-0000-4000-9000-${String(++number).padStart(12, "0")}`;
        const head = entryAt(1000, annAndBob, id);
        await store.write({ ...head, rows: [] }).durable;
        // One by one: what waits together would be one write.
        for (const at of order) {
          await store.write({ conversationId: id, rows: [changes[at] as RowChange] }).durable;
        }
        const row = changes.reduce<InboxRow | undefined>(changeRow, undefined);
        const [item] = await store.listByConversation("eve", before(id), 1);
        assert.ok(row !== undefined && head.conversation !== undefined);
        assert.deepEqual(item, toInboxItem(id, row, head.conversation.head));
      }),
      { numRuns: 50 },
    );
  });

  it("refuses tables of another version, and names what mends them", async () => {
    await using keyspace = createTestKeyspace();
    const { config } = keyspace;
    const open = () => createCassandraInboxStore({ config, membershipsCachedMax: 1000 });
    const refused = (error: unknown) =>
      error instanceof CassandraSchemaError && error.message.includes("parley migrate");
    await assert.rejects(open, refused);
    await migrateCassandra(config);
    await using _store = await open();
    assert.deepEqual(await migrateCassandra(config), []);
    const { keyspace: name } = config;
    const values = "(component, version, name) VALUES ('fanout', 2, 'later')";
    await keyspace.execute(`INSERT INTO ${name}.schema_migrations ${values}`);
    await assert.rejects(open, refused);
    await keyspace.execute(`DELETE FROM ${name}.schema_migrations WHERE component = 'fanout'`);
    await assert.rejects(open, refused);
  });

  it("does not open where no node answers", async () => {
    await using keyspace = createTestKeyspace();
    const config = { ...keyspace.config, contactPoints: ["127.0.0.1:1"] };
    await assert.rejects(
      createCassandraInboxStore({ config, membershipsCachedMax: 1000 }),
      CassandraUnavailableError,
    );
  });
});

/** The id before it, so that a list begins with it. */
const before = (id: string) => `${id.slice(0, -1)}${String.fromCharCode(id.charCodeAt(35) - 1)}~`;

/** Changes of one row in the order of a log, first the joining, and the order in which they come, some of them twice. */
const changesArbitrary = fc
  .array(fc.tuple(fc.constantFrom("joined", "left", "read"), fc.integer({ min: 1, max: 5 })), {
    maxLength: 8,
  })
  .map((steps) => {
    let seq = 1n;
    const changes: RowChange[] = [{ kind: "joined", userId: "eve", seq, unreadOrdinal: 0n }];
    for (const [kind, step] of steps) {
      seq += BigInt(step);
      changes.push(changeAt(kind as RowChange["kind"], seq));
    }
    return changes;
  })
  .chain((changes) => {
    const all = [...changes.keys(), ...changes.keys()];
    const order = fc.shuffledSubarray(all, { minLength: all.length });
    return order.map((shuffled) => ({ changes, order: shuffled }));
  });

function changeAt(kind: RowChange["kind"], seq: bigint): RowChange {
  const userId = "eve";
  if (kind === "joined") return { kind, userId, seq, unreadOrdinal: seq / 2n };
  if (kind === "left") return { kind, userId, seq, messageId: seq * 10n, unreadOrdinal: seq / 2n };
  return { kind, userId, readSeq: seq, readUnreadOrdinal: seq / 2n };
}
