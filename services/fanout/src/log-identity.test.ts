import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogIdentity } from "@parley/platform/log/port";
import { checkLogIdentity, findReplayOffset, InboxIdentityError } from "./log-identity.ts";
import type { LogPlace } from "./ports.ts";

const identity = { epoch: "a", partitionCount: 2 };

function check(known: LogIdentity | undefined) {
  const written: LogIdentity[] = [];
  const store = {
    readIdentity: async () => known,
    writeIdentity: async (given: LogIdentity) => void written.push(given),
  };
  return { written, done: checkLogIdentity(store, { identity }) };
}

test("a new store takes the log's identity", async () => {
  const { written, done } = check(undefined);
  await done;
  assert.deepEqual(written, [identity]);
});

test("an instance that comes second to a new store is refused when it has another log", async () => {
  const first = { epoch: "b", partitionCount: 2 };
  let known: LogIdentity | undefined;
  const store = {
    readIdentity: async () => known,
    writeIdentity: async () => {
      known = first;
    },
  };
  await assert.rejects(checkLogIdentity(store, { identity }), InboxIdentityError);
});

test("the same log is accepted", async () => {
  const { written, done } = check(identity);
  await done;
  assert.deepEqual(written, []);
});

for (const [name, known, says] of [
  ["another log", { ...identity, epoch: "b" }, /same backup/],
  ["another number of partitions", { ...identity, partitionCount: 3 }, /PARLEY_LOG_PARTITIONS/],
] as const) {
  test(`${name} is refused`, async () => {
    await assert.rejects(check(known).done, (error) => {
      assert.ok(error instanceof InboxIdentityError);
      assert.match(error.message, says);
      return true;
    });
  });
}

/** A log that holds [5, 10) of `fanout` and [20, 40) of `messages`, or from the beginning on. */
function find(place: LogPlace | undefined, { fromBeginning = false } = {}) {
  const ranges = new Map([
    ["fanout", { startOffset: fromBeginning ? 0 : 5, endOffset: 10 }],
    ["messages", { startOffset: fromBeginning ? 0 : 20, endOffset: 40 }],
  ]);
  const range = async (topic: string, partition: number) => {
    assert.equal(partition, 1);
    return ranges.get(topic) ?? { startOffset: 0, endOffset: 0 };
  };
  return findReplayOffset({ readPlace: async () => place }, { range }, 1);
}

test("replay starts at the store's own place, and at the beginning without one", async () => {
  assert.equal(await find({ replayOffset: 7, headsEndOffset: 0 }), 7);
  assert.equal(await find({ replayOffset: 5, headsEndOffset: 40 }), 5);
  assert.equal(await find({ replayOffset: 10, headsEndOffset: 12 }), 10);
  assert.equal(await find(undefined, { fromBeginning: true }), 0);
});

for (const [name, place] of [
  ["no inboxes on a log without its beginning", undefined],
  ["inboxes older than what the log holds", { replayOffset: 4, headsEndOffset: 0 }],
  ["a log that ends before the replay offset", { replayOffset: 11, headsEndOffset: 0 }],
  ["a log that ends before a head", { replayOffset: 7, headsEndOffset: 41 }],
] as const) {
  test(`${name}: refused, with what to do`, async () => {
    await assert.rejects(find(place), (error) => {
      assert.ok(error instanceof InboxIdentityError);
      assert.match(error.message, /Restore all directories of the server from the same backup/);
      return true;
    });
  });
}
