import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogIdentity } from "@parley/platform/log/port";
import { checkLogIdentity, InboxIdentityError } from "./log-identity.ts";

const identity = { epoch: "a", partitionCount: 2 };

function check(known: LogIdentity | undefined, startOffset = 0) {
  const written: LogIdentity[] = [];
  const store = {
    readIdentity: async () => known,
    writeIdentity: async (given: LogIdentity) => void written.push(given),
  };
  const range = async (_topic: string, partition: number) => ({
    startOffset: partition === 1 ? startOffset : 0,
    endOffset: 10,
  });
  return { written, done: checkLogIdentity(store, { identity, range }) };
}

test("a new store takes the log's identity", async () => {
  const { written, done } = check(undefined);
  await done;
  assert.deepEqual(written, [identity]);
});

test("the same log is accepted, however much of it has been forgotten", async () => {
  const { written, done } = check(identity, 7);
  await done;
  assert.deepEqual(written, []);
});

for (const [name, known, startOffset] of [
  ["another log", { ...identity, epoch: "b" }, 0],
  ["another number of partitions", { ...identity, partitionCount: 3 }, 0],
  ["a new store on a log without its beginning", undefined, 1],
] as const) {
  test(`${name} is refused`, async () => {
    await assert.rejects(check(known, startOffset).done, InboxIdentityError);
  });
}
