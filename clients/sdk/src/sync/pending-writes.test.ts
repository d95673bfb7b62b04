import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { StorageBatch, StoredEntry, StoredTimeline } from "../storage/client-storage.ts";
import { createMemoryStorage } from "../storage/memory-storage.ts";
import { createTimelineStore } from "./timeline-store.ts";

const C = "conversation";

function entry(seq: bigint, value = 0): StoredEntry {
  return { conversationId: C, seq, bytes: new Uint8Array([value]) };
}

const at = (position: bigint) => ({ position, messageId: position + 1_000n, holes: [] });

/** A store whose storage can be made to fail, and to take its time. */
function createSubject() {
  const memory = createMemoryStorage();
  const batches: StorageBatch[] = [];
  let failures = 0;
  const subject = {
    batches,
    failNext: () => failures++,
    /** Called while a write is under way. */
    during: () => {},
    store: createTimelineStore({
      storage: {
        async write(batch) {
          batches.push(batch);
          await Promise.resolve();
          subject.during();
          subject.during = () => {};
          if (failures-- > 0) throw new Error("The disk is full.");
          failures = 0;
          await memory.write(batch);
        },
      },
      onFailure: () => {},
    }),
    async stored() {
      await subject.store.flush();
      const { timelines } = await memory.load();
      const entries = await memory.readEntries(C, { count: 100 });
      return {
        timeline: timelines[0] as StoredTimeline,
        entries: entries.map(({ seq, bytes }) => [Number(seq), bytes[0]]),
      };
    },
  };
  return subject;
}

describe("what waits to be written", () => {
  it("goes back and forward in one batch", async () => {
    const { store, batches, stored } = createSubject();
    store.put(C, at(3n), [entry(1n), entry(2n), entry(3n)]);
    store.putReadState(C, { readSeq: 3n, confirmedReadSeq: 2n, confirmedDeliveredSeq: 3n });
    await stored();
    store.rewind(C, at(1n));
    assert.equal(store.timeline(C).readSeq, 1n);
    store.put(C, at(2n), [entry(2n, 7)]);
    const { timeline, entries } = await stored();
    assert.equal(batches.length, 2);
    assert.deepEqual(entries, [
      [1, 0],
      [2, 7],
    ]);
    assert.deepEqual(timeline, {
      conversationId: C,
      ...at(2n),
      readSeq: 1n,
      confirmedReadSeq: 1n,
      confirmedDeliveredSeq: 1n,
    });
  });

  it("leaves out what a conversation went back from before it was written", async () => {
    const { store, stored } = createSubject();
    store.put(C, at(4n), [entry(3n), entry(4n)]);
    store.rewind(C, at(3n));
    store.put(C, at(5n), [entry(4n, 1), entry(5n, 1)]);
    // The second time less is gone: what was put since the first stays.
    store.rewind(C, at(4n));
    const { timeline, entries } = await stored();
    assert.equal(timeline.position, 4n);
    assert.deepEqual(entries, [
      [3, 0],
      [4, 1],
    ]);
  });

  it("goes back as far as the farthest of several times", async () => {
    const { store, stored } = createSubject();
    store.put(C, at(4n), [entry(2n), entry(3n), entry(4n)]);
    await stored();
    store.rewind(C, at(2n));
    store.put(C, at(10n), [entry(10n, 1)]);
    store.rewind(C, at(10n));
    const { timeline, entries } = await stored();
    assert.equal(timeline.position, 10n);
    assert.deepEqual(entries, [
      [2, 0],
      [10, 1],
    ]);
  });

  it("keeps the order of going back and forward when a write fails", async () => {
    const subject = createSubject();
    const { store, stored } = subject;
    store.put(C, at(5n), [entry(4n), entry(5n)]);
    await stored();
    subject.failNext();
    store.rewind(C, at(4n));
    store.put(C, at(6n), [entry(5n, 1), entry(6n, 1)]);
    // While that write is under way and before it fails, the conversation goes back once more.
    subject.during = () => store.rewind(C, at(5n));
    const { timeline, entries } = await stored();
    assert.equal(timeline.position, 5n);
    assert.deepEqual(entries, [
      [4, 0],
      [5, 1],
    ]);
  });
});
