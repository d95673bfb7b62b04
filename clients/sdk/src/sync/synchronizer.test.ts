import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type Message, MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import {
  type ListMessagesResponse,
  ListMessagesResponseSchema,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { createDeferred } from "../async/deferred.ts";
import { clientError, type ParleyError } from "../errors.ts";
import { createMemoryStorage } from "../storage/memory-storage.ts";
import { readStored } from "./stored-entries.ts";
import { type ReplacedConversation, Synchronizer } from "./synchronizer.ts";
import { createTimelineStore } from "./timeline-store.ts";

const C = "conversation";

function entry(seq: number, conversationId = C): Message {
  const messageId = BigInt(seq) + 1_000n;
  const unreadOrdinal = BigInt(seq);
  return create(MessageSchema, { conversationId, seq: BigInt(seq), messageId, unreadOrdinal });
}

type Request = {
  readonly conversationId: string;
  readonly fromSeq: bigint;
  readonly pageSize: number;
};

/** A synchronizer whose server answers with `answer`. */
function createSubject(answer: (request: Request) => Promise<readonly Message[]>) {
  const storage = createMemoryStorage();
  const store = createTimelineStore({ storage, onFailure: assert.ifError });
  const shown: string[] = [];
  const requests: Request[] = [];
  const replaced: ReplacedConversation[] = [];
  const hopeless = createDeferred<ParleyError>();
  let waiters: (() => void)[] = [];
  const changed = () => {
    for (const waiter of waiters.splice(0)) waiter();
  };
  const synchronizer = new Synchronizer({
    store,
    listMessages: async (request): Promise<ListMessagesResponse> => {
      requests.push(request);
      changed();
      return create(ListMessagesResponseSchema, { messages: [...(await answer(request))] });
    },
    readStored: (id) => readStored(id, { count: 500 }, { store, storage }),
    gapGraceMs: 0,
    onReplaced: (event) => {
      replaced.push(event);
      changed();
    },
    onEntry: ({ conversationId, seq }) => {
      shown.push(conversationId === C ? `${seq}` : `${conversationId} ${seq}`);
      changed();
    },
    onPosition: () => {},
    onHopeless: (error) => hopeless.resolve(error),
  });
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise<void>((resolve) => waiters.push(resolve));
  };
  return {
    synchronizer,
    store,
    storage,
    shown,
    requests,
    replaced,
    until,
    hopeless: hopeless.promise,
    [Symbol.dispose]() {
      synchronizer.close();
      waiters = [];
    },
  };
}

const entriesFrom = (readable: readonly number[]) => async (request: Request) =>
  readable
    .filter((seq) => BigInt(seq) > request.fromSeq)
    .slice(0, request.pageSize)
    .map((seq) => entry(seq));

describe("Synchronizer", () => {
  it("reads a gap before it shows what lies behind it, asking for what is missing only", async () => {
    using subject = createSubject(entriesFrom([1, 2, 3, 4, 5]));
    const { synchronizer, shown, requests } = subject;
    synchronizer.offer(entry(1));
    synchronizer.offer(entry(4));
    synchronizer.offer(entry(5));
    assert.deepEqual(shown, ["1"]);
    await subject.until(() => shown.length === 5);
    assert.deepEqual(shown, ["1", "2", "3", "4", "5"]);
    assert.deepEqual(
      requests.map(({ fromSeq, pageSize }) => [fromSeq, pageSize]),
      [[1n, 2]],
    );
  });

  it("reads a conversation once at a time, however many entries wait", async () => {
    const gate = createDeferred<void>();
    const serve = entriesFrom(Array.from({ length: 500 }, (_, index) => index + 1));
    using subject = createSubject(async (request) => {
      await gate.promise;
      return serve(request);
    });
    for (let seq = 451; seq <= 460; seq++) subject.synchronizer.offer(entry(seq));
    await subject.until(() => subject.requests.length === 1);
    subject.synchronizer.offer(entry(470));
    gate.resolve();
    await subject.until(() => subject.shown.length === 470);
    // 450 missing entries are three pages, and 461 to 469 are one more.
    assert.deepEqual(
      subject.requests.map(({ pageSize }) => pageSize),
      [200, 200, 50, 9],
    );
  });

  it("waits for the end of catch-up, and reads nothing that it names as left out", async () => {
    using subject = createSubject(entriesFrom([]));
    const { synchronizer, shown, requests } = subject;
    synchronizer.beginCatchUp();
    for (const seq of [51, 52, 53]) synchronizer.offer(entry(seq));
    assert.deepEqual(shown, []);
    synchronizer.caughtUp([{ conversationId: C, first: 1n, last: 50n }]);
    assert.deepEqual(shown, ["51", "52", "53"]);
    assert.deepEqual(synchronizer.holes(C), [{ first: 1n, last: 50n }]);
    assert.deepEqual(requests, []);
  });

  it("passes over what was written while the person was no member", async () => {
    using subject = createSubject(entriesFrom([1, 2, 3, 9, 10]));
    const { synchronizer, shown } = subject;
    for (const seq of [1, 2, 3, 10]) synchronizer.offer(entry(seq));
    await subject.until(() => shown.length === 5);
    assert.deepEqual(shown, ["1", "2", "3", "9", "10"]);
    assert.equal(synchronizer.position(C), 10n);
  });

  it("completes an own entry from the one before it, also when its answer overtakes that", async () => {
    using subject = createSubject(() => new Promise(() => {})); // no reading in this test
    const { synchronizer, shown } = subject;
    const ordinals: bigint[] = [];
    const own = (seq: number) =>
      synchronizer.offerOwn(C, BigInt(seq), (previous) => {
        ordinals.push(previous.unreadOrdinal);
        return { ...entry(seq), unreadOrdinal: previous.unreadOrdinal + 1n };
      });
    synchronizer.offer(entry(1));
    own(2);
    own(5);
    own(4);
    assert.deepEqual(shown, ["1", "2"]);
    synchronizer.offer(entry(3));
    assert.deepEqual(shown, ["1", "2", "3", "4", "5"]);
    assert.deepEqual(ordinals, [1n, 3n, 4n]);
  });

  it("reads an own entry whose predecessor it does not know", async () => {
    using subject = createSubject(entriesFrom([1, 2, 3]));
    const timeline = { conversationId: C, position: 2n, holes: [], readSeq: 0n };
    subject.synchronizer.restore([
      { ...timeline, confirmedReadSeq: 0n, confirmedDeliveredSeq: 0n },
    ]);
    subject.synchronizer.offerOwn(C, 3n, () => assert.fail("nothing is known of entry 2"));
    await subject.until(() => subject.shown.length === 1);
    assert.deepEqual(subject.shown, ["3"]);
  });

  it("tries again when reading fails, and gives up on the session after some attempts", async () => {
    let failures = 2;
    const serve = entriesFrom([1, 2, 3]);
    using subject = createSubject(async (request) => {
      if (failures-- > 0) throw clientError(Code.Unavailable, "NETWORK", "Not now.");
      return serve(request);
    });
    subject.synchronizer.offer(entry(3));
    await subject.until(() => subject.shown.length === 3);
    assert.equal(subject.requests.length, 3);

    using stubborn = createSubject(async () => []);
    stubborn.synchronizer.offer(entry(3));
    const error = await stubborn.hopeless;
    assert.equal(error.reason, "PROTOCOL");
    assert.equal(stubborn.requests.length, 5);
    assert.deepEqual(stubborn.shown, []);
  });

  it("forgets what waits in a conversation that is not readable any more", async () => {
    using subject = createSubject(async ({ conversationId }) => {
      if (conversationId === C) throw clientError(Code.NotFound, "PROTOCOL", "Gone.");
      return [];
    });
    subject.synchronizer.offer(entry(3));
    await subject.until(() => subject.requests.length === 1);
    subject.synchronizer.offer(entry(1, "other"));
    assert.deepEqual(subject.shown, ["other 1"]);
    assert.deepEqual(subject.synchronizer.positions(), [
      { conversationId: "other", seq: 1n, messageId: 1_001n },
    ]);
  });

  it("tells the id of the entry at its position, also of one that an earlier run showed", async () => {
    using subject = createSubject(entriesFrom([]));
    const { synchronizer } = subject;
    const timeline = { holes: [], readSeq: 0n, confirmedReadSeq: 0n, confirmedDeliveredSeq: 0n };
    synchronizer.restore([
      { ...timeline, conversationId: "old", position: 7n },
      { ...timeline, conversationId: "stored", position: 8n, messageId: 1_008n },
    ]);
    synchronizer.offer(entry(1));
    synchronizer.offer(entry(9, "stored"));
    assert.deepEqual(synchronizer.positions(), [
      { conversationId: "old", seq: 7n, messageId: 0n },
      { conversationId: "stored", seq: 9n, messageId: 1_009n },
      { conversationId: C, seq: 1n, messageId: 1_001n },
    ]);
    await subject.store.flush();
    const { timelines } = await subject.storage.load();
    assert.deepEqual(
      timelines.map(({ messageId }) => messageId),
      [1_001n, 1_009n],
    );
  });

  it("keeps an own entry back until catch-up has told that the history is the same", async () => {
    using subject = createSubject(entriesFrom([]));
    const { synchronizer, shown } = subject;
    synchronizer.offer(entry(1));
    synchronizer.beginCatchUp();
    synchronizer.offerOwn(C, 2n, () => entry(2));
    assert.deepEqual(shown, ["1"]);
    synchronizer.caughtUp([]);
    assert.deepEqual(shown, ["1", "2"]);
  });

  it("stores a position together with the entries below it", async () => {
    using subject = createSubject(entriesFrom([]));
    subject.synchronizer.offer(entry(1));
    subject.synchronizer.offer(entry(2));
    await subject.store.flush();
    const { timelines } = await subject.storage.load();
    assert.deepEqual(
      timelines.map(({ position }) => position),
      [2n],
    );
    const stored = await subject.storage.readEntries(C, { count: 10 });
    assert.deepEqual(
      stored.map(({ seq }) => seq),
      [1n, 2n],
    );
  });
});
