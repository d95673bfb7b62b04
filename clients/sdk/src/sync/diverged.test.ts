// The synchronizer where the server's history is another than this device's.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type Message, MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import {
  ListMessagesResponseSchema,
  ReadDirection,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { createDeferred } from "../async/deferred.ts";
import { clientError, type ParleyError } from "../errors.ts";
import { createMemoryStorage } from "../storage/memory-storage.ts";
import { readStored } from "./stored-entries.ts";
import { type ReplacedConversation, Synchronizer } from "./synchronizer.ts";
import { createTimelineStore } from "./timeline-store.ts";

const C = "conversation";

/** Entries first to last of a history; those of different histories have different ids. */
function entries(history: number, first: number, last: number): Message[] {
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const seq = BigInt(first + index);
    const messageId = seq * 10n + BigInt(history);
    return create(MessageSchema, { conversationId: C, seq, messageId });
  });
}

/** A device that has entries 1 to 50, and a server that has `server`. */
async function createSubject(server: Message[]) {
  const storage = createMemoryStorage();
  const store = createTimelineStore({ storage, onFailure: assert.ifError });
  const told: string[] = [];
  const replaced: ReplacedConversation[] = [];
  const hopeless = createDeferred<ParleyError>();
  const remote = {
    server,
    /** Called before each answer of the server. */
    beforeAnswer: async () => {},
    /** Called when an answer is made, before it arrives. */
    afterAnswer: async () => {},
  };
  const subject = Object.assign(remote, {
    storage,
    store,
    told,
    replaced,
    hopeless: hopeless.promise,
    synchronizer: new Synchronizer({
      store,
      async listMessages({ fromSeq, direction, pageSize }) {
        await remote.beforeAnswer();
        const older = direction === ReadDirection.OLDER;
        const rest = older
          ? remote.server.filter(({ seq }) => fromSeq === 0n || seq < fromSeq).reverse()
          : remote.server.filter(({ seq }) => seq > fromSeq);
        const messages = rest.slice(0, pageSize);
        await remote.afterAnswer();
        return create(ListMessagesResponseSchema, { messages, more: rest.length > pageSize });
      },
      readStored: (id) => readStored(id, { count: 500 }, { store, storage }),
      gapGraceMs: 0,
      onEntry: ({ messageId }) => told.push(`${messageId}`),
      onPosition: () => {},
      onReplaced: (event) => {
        replaced.push(event);
        told.push("replaced");
      },
      onHopeless: hopeless.resolve,
    }),
    /** A session that finds the history to be another. */
    async catchUp() {
      this.synchronizer.beginCatchUp();
      const done = this.synchronizer.replace([C]);
      this.synchronizer.caughtUp([]);
      return done;
    },
    [Symbol.dispose]() {
      this.synchronizer.close();
    },
  });
  for (const entry of entries(1, 1, 50)) subject.synchronizer.offer(entry);
  store.putReadState(C, { readSeq: 48n, confirmedReadSeq: 48n, confirmedDeliveredSeq: 50n });
  told.length = 0;
  return subject;
}

const ids = (messages: readonly Message[]) => messages.map(({ messageId }) => `${messageId}`);

describe("a conversation that the server has otherwise", () => {
  it("goes back to where both agree, tells what is lost, and goes on with what the server has", async () => {
    using subject = await createSubject([...entries(1, 1, 40), ...entries(2, 41, 43)]);
    const { synchronizer, store, storage, told, replaced } = subject;
    assert.equal(await subject.catchUp(), true);
    const [event] = replaced;
    assert.deepEqual([event?.conversationId, event?.keptSeq], [C, 40n]);
    assert.deepEqual(event?.entries, entries(1, 41, 50));
    assert.deepEqual(told, ["replaced", "412", "422", "432"]);
    assert.deepEqual(synchronizer.positions(), [{ conversationId: C, seq: 43n, messageId: 432n }]);
    await store.flush();
    const [timeline] = (await storage.load()).timelines;
    assert.deepEqual([timeline?.position, timeline?.messageId], [43n, 432n]);
    // What was read of the old entries says nothing of the new ones.
    assert.deepEqual([timeline?.readSeq, timeline?.confirmedDeliveredSeq], [40n, 40n]);
    const kept = await readStored(C, { count: 100 }, { store, storage });
    assert.deepEqual(kept, subject.server);
    // Live entries go on from there.
    for (const entry of entries(2, 44, 45)) synchronizer.offer(entry);
    assert.deepEqual(told.slice(4), ["442", "452"]);
  });

  it("forgets a conversation of which the server has nothing", async () => {
    using subject = await createSubject([]);
    assert.equal(await subject.catchUp(), true);
    assert.deepEqual(ids(subject.replaced[0]?.entries ?? []), ids(entries(1, 1, 50)));
    assert.deepEqual(subject.synchronizer.positions(), []);
    await subject.store.flush();
    const { store, storage } = subject;
    assert.deepEqual(await readStored(C, { count: 100 }, { store, storage }), []);
  });

  it("reads the newest page only, and remembers what it left out", async () => {
    using subject = await createSubject([...entries(1, 1, 40), ...entries(2, 41, 1_000)]);
    assert.equal(await subject.catchUp(), true);
    assert.deepEqual(subject.told, ["replaced", ...ids(entries(2, 801, 1_000))]);
    assert.deepEqual(subject.synchronizer.holes(C), [{ first: 41n, last: 800n }]);
  });

  it("says nothing where only the server has more", async () => {
    using subject = await createSubject([...entries(1, 1, 50), ...entries(2, 51, 52)]);
    assert.equal(await subject.catchUp(), true);
    assert.deepEqual(subject.told, ["512", "522"]);
  });

  it("keeps what comes meanwhile, whatever its place, until it is known where both agree", async () => {
    using subject = await createSubject([...entries(1, 1, 40), ...entries(2, 41, 43)]);
    const { synchronizer, told } = subject;
    subject.beforeAnswer = async () => {
      subject.beforeAnswer = async () => {};
      subject.server.push(...entries(2, 44, 46));
      // One place that the device had, one that follows what it had, and an own one that is not here.
      for (const entry of entries(2, 44, 44)) synchronizer.offer(entry);
      for (const entry of entries(2, 51, 51)) synchronizer.offer(entry);
      synchronizer.offerOwn(C, 52n, () => assert.fail("nothing is known of the entry before"));
      subject.server.push(...entries(2, 47, 52));
    };
    assert.equal(await subject.catchUp(), true);
    assert.deepEqual(told, ["replaced", ...ids(entries(2, 41, 52))]);
  });

  it("reads what was accepted of this device after the page was read", async () => {
    using subject = await createSubject([...entries(1, 1, 40), ...entries(2, 41, 43)]);
    subject.afterAnswer = async () => {
      subject.afterAnswer = async () => {};
      subject.server.push(...entries(2, 44, 46));
      subject.synchronizer.offerOwn(C, 46n, () =>
        assert.fail("nothing is known of the entry before"),
      );
    };
    assert.equal(await subject.catchUp(), true);
    const all = ["replaced", ...ids(entries(2, 41, 46))];
    while (subject.told.length < all.length) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(subject.told, all);
  });

  it("is not mixed with what was being read when the session ended", async () => {
    using subject = await createSubject([...entries(1, 1, 40), ...entries(2, 41, 60)]);
    const { synchronizer, told } = subject;
    const gate = createDeferred<void>();
    const asked = createDeferred<void>();
    subject.beforeAnswer = () => {
      asked.resolve();
      return gate.promise;
    };
    // Entry 51 is missing and asked for; the answer is of the other history.
    for (const entry of entries(1, 52, 52)) synchronizer.offer(entry);
    await asked.promise;
    synchronizer.beginCatchUp();
    gate.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(told, []);
    assert.equal(await subject.catchUp(), true);
    assert.deepEqual(told, ["replaced", ...ids(entries(2, 41, 60))]);
  });

  it("lets the next session decide anew", async () => {
    using subject = await createSubject([...entries(1, 1, 40)]);
    const gate = createDeferred<void>();
    subject.beforeAnswer = () => gate.promise;
    const first = subject.catchUp();
    // The server was put back once more, from a newer copy.
    subject.server.push(...entries(1, 41, 50), ...entries(2, 51, 51));
    subject.synchronizer.beginCatchUp();
    gate.resolve();
    assert.equal(await first, false);
    for (const entry of entries(2, 51, 51)) subject.synchronizer.offer(entry);
    subject.synchronizer.caughtUp([]);
    assert.deepEqual(subject.told, ["512"]);
  });

  it("is tried again when reading fails, and in the end in another session", async () => {
    using subject = await createSubject([...entries(1, 1, 40)]);
    let failures = 1;
    subject.beforeAnswer = async () => {
      if (failures-- > 0) throw clientError(Code.Unavailable, "NETWORK", "Not now.");
    };
    assert.equal(await subject.catchUp(), true);
    assert.equal(subject.replaced.length, 1);

    using hopeless = await createSubject([...entries(1, 1, 40)]);
    hopeless.beforeAnswer = async () => {
      throw clientError(Code.Internal, "PROTOCOL", "Never.");
    };
    assert.equal(await hopeless.catchUp(), false);
    assert.equal((await hopeless.hopeless).reason, "PROTOCOL");
    // The position is still the old one, so that the next session finds the same.
    assert.deepEqual(hopeless.synchronizer.positions(), [
      { conversationId: C, seq: 50n, messageId: 501n },
    ]);
    assert.deepEqual(hopeless.told, []);
  });
});
