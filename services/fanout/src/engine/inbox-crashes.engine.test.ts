/** A process that dies, or stands still and goes on, between any two writes of the inbox store. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { FanoutBatch } from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import type { CassandraStatement } from "@parley/platform/storage/engine/cassandra";
import { planEntries } from "../domain/plan.ts";
import type { InboxStore } from "../ports.ts";
import { type CassandraMedium, createCassandraMedium } from "../testing/cassandra-medium.ts";
import { createTestConversation } from "../testing/test-entries.ts";

const people = ["ann", "bob", "cid", "dan"];

let created: Promise<CassandraMedium> | undefined;
after(async () => (await created)?.[Symbol.asyncDispose]());

async function emptyMedium() {
  created ??= createCassandraMedium();
  const medium = await created;
  return { medium, [Symbol.asyncDispose]: () => medium.wipe() };
}

/** Dispatches as the dispatcher does, as far as the store is concerned. */
async function dispatch(store: InboxStore, batch: FanoutBatch): Promise<void> {
  const { conversationId, kind, directUserIds, entries } = batch;
  const known = await store.readConversation(conversationId);
  const plan = planEntries(known, { conversationId, kind, directUserIds, entries });
  await store.write({ conversationId, conversation: plan.conversation, rows: plan.rows }).durable;
}

/** Groups in which people come, go and come back, and a pair. */
function createHistory(): readonly FanoutBatch[] {
  const group = createTestConversation();
  const pair = createTestConversation({ direct: ["ann", "bob"] });
  return [
    group.batch(group.created(["ann", "bob", "cid"]), group.message("ann")),
    pair.batch(pair.message("bob")),
    group.batch(group.removed("ann", "bob"), group.message("cid")),
    group.batch(group.message("ann"), group.added("ann", ["bob", "dan"])),
    pair.batch(pair.message("ann"), pair.message("bob")),
    group.batch(group.left("cid"), group.message("dan")),
  ];
}

async function readEverything(store: InboxStore, history: readonly FanoutBatch[]) {
  const ids = [...new Set(history.map(({ conversationId }) => conversationId))];
  return {
    conversations: await Promise.all(ids.map((id) => store.readConversation(id))),
    inboxes: await Promise.all(people.map((userId) => store.listByConversation(userId, "", 100))),
    place: await store.readPlace(0),
  };
}

/** A session of which the write with this number never ends, and no later one is made. */
function dyingSession(medium: CassandraMedium, writesMax: number) {
  const died = Promise.withResolvers<void>();
  const held: (readonly CassandraStatement[])[] = [];
  let writes = 0;
  return {
    died: died.promise,
    /** What it would still have sent, had it only stood still. */
    held,
    get writes() {
      return writes;
    },
    read: medium.session.read.bind(medium.session),
    async write(...statements: readonly CassandraStatement[]) {
      if (writes >= writesMax) {
        held.push(statements);
        died.resolve();
        return await new Promise<void>(() => undefined);
      }
      writes++;
      await medium.session.write(...statements);
    },
  };
}

async function runStraight(history: readonly FanoutBatch[]) {
  await using empty = await emptyMedium();
  const session = dyingSession(empty.medium, Number.POSITIVE_INFINITY);
  const store = await empty.medium.open({ session });
  await store.writeIdentity({ epoch: "log", partitionCount: 1 });
  const states = [await readEverything(store, history)];
  for (const batch of history) {
    await dispatch(store, batch);
    states.push(await readEverything(store, history));
  }
  return { states, writes: session.writes };
}

/** Dies after so many writes, begins again at the batch that was not acknowledged, and lets the dead one go on. */
async function runDying(
  history: readonly FanoutBatch[],
  writesMax: number,
  states: readonly Awaited<ReturnType<typeof readEverything>>[],
) {
  await using empty = await emptyMedium();
  const { medium } = empty;
  const session = dyingSession(medium, writesMax);
  const store = await medium.open({ session });
  await store.writeIdentity({ epoch: "log", partitionCount: 1 });
  let acknowledged = 0;
  const dispatching = (async () => {
    for (const batch of history) {
      await dispatch(store, batch);
      acknowledged++;
    }
  })();
  await Promise.race([dispatching, session.died]);
  const next = await medium.open();
  checkBetween(await readEverything(next, history), states, acknowledged);
  for (const batch of history.slice(acknowledged)) await dispatch(next, batch);
  assert.deepEqual(await readEverything(next, history), states.at(-1));
  for (const statements of session.held) await medium.session.write(...statements);
  assert.deepEqual(await readEverything(next, history), states.at(-1), "a zombie took it back");
}

/** Between two states, everybody's inbox is as before or as after, but for who has left already. */
function checkBetween(
  state: Awaited<ReturnType<typeof readEverything>>,
  states: readonly Awaited<ReturnType<typeof readEverything>>[],
  acknowledged: number,
): void {
  const [before, later] = [states[acknowledged], states[acknowledged + 1] ?? states.at(-1)];
  const whole = [before, later].map((each) => JSON.stringify(each?.conversations, replaceBigInt));
  assert.ok(whole.includes(JSON.stringify(state.conversations, replaceBigInt)));
  assert.ok((state.place?.headsEndOffset ?? 0) >= (before?.place?.headsEndOffset ?? 0));
  for (const [at, items] of state.inboxes.entries()) {
    for (const item of items) {
      const was = before?.inboxes[at]?.find(
        (other) => other.conversationId === item.conversationId,
      );
      const is = later?.inboxes[at]?.find((other) => other.conversationId === item.conversationId);
      assert.ok(was !== undefined || is !== undefined, "a conversation that nobody put there");
      const places = [was?.lastSeq, is?.lastSeq];
      assert.ok(places.includes(item.lastSeq), `${item.lastSeq} is neither before nor after`);
      if (item.member) assert.ok(item.lastSeq >= item.firstSeq, "a member before joining");
    }
  }
}

const replaceBigInt = (_key: string, value: unknown) =>
  typeof value === "bigint" ? String(value) : value;

describe("the inbox store on Cassandra", () => {
  it("ends the same way after a death between any two writes", async (t) => {
    const history = createHistory();
    const { states, writes } = await runStraight(history);
    for (let writesMax = 0; writesMax < writes; writesMax++) {
      await runDying(history, writesMax, states);
    }
    t.diagnostic(`${writes} deaths`);
    assert.ok(writes > 20);
  });
});
