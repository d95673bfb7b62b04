import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkIdentity, checkPartition, LogMismatchError } from "./log-check.ts";

const mismatch = (text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof LogMismatchError);
  assert.match(error.message, text);
  return true;
};

describe("checkPartition", () => {
  const range = { startOffset: 10, endOffset: 20 };

  it("starts where the store says, and at the beginning of a log that begins", () => {
    assert.equal(checkPartition(0, range, { replayOffset: 12, endOffset: 20 }), 12);
    assert.equal(checkPartition(0, range, { replayOffset: 20, endOffset: 20 }), 20);
    assert.equal(checkPartition(0, range, { replayOffset: 10, endOffset: 10 }), 10);
    assert.equal(checkPartition(0, { startOffset: 0, endOffset: 5 }, undefined), 0);
  });

  it("refuses a log that ends before the store, or begins behind it", () => {
    const check = (replayOffset: number, endOffset: number) => () =>
      checkPartition(3, range, { replayOffset, endOffset });
    assert.throws(check(12, 21), mismatch(/Partition 3 .* lost records/));
    assert.throws(check(9, 15), mismatch(/needs it from 9 on/));
    assert.throws(() => checkPartition(3, range, undefined), mismatch(/has nothing of it/));
  });
});

describe("checkIdentity", () => {
  const bound = (epoch: string, partitionCount: number) => ({
    bindLog: async () => ({ epoch, partitionCount }),
  });
  const log = { epoch: "e1", partitionCount: 16 };

  it("takes the log that the store was made from, and no other", async () => {
    await checkIdentity(bound("e1", 16), log);
    await assert.rejects(checkIdentity(bound("e2", 16), log), mismatch(/belongs to the log e2/));
    await assert.rejects(checkIdentity(bound("e1", 8), log), mismatch(/made from 8 partitions/));
  });
});
