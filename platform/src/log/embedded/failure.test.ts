import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { LogOverloadedError, LogUnavailableError } from "../port.ts";
import type { LogProblem } from "./options.ts";
import { createPowerLossFiles, type OperationKind } from "./power-loss.ts";
import { openTestLog, readAll, TOPIC, textOf } from "./test-log.ts";

const FULL = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });

for (const [kind, keptBytes] of [
  ["append", 0],
  ["append", 40],
  ["append", 10_000],
  ["dataSync", 0],
] satisfies [OperationKind, number][]) {
  test(`after a failed ${kind} (${keptBytes} bytes written) the log refuses until it is opened again`, async () => {
    const files = createPowerLossFiles();
    const problems: LogProblem[] = [];
    const log = await openTestLog(files, { onProblem: (problem) => problems.push(problem) });
    await log.append(TOPIC, 0, Buffer.from("kept"));
    files.failNext(kind, FULL, keptBytes);
    const failing = [1, 2, 3].map((i) => log.append(TOPIC, 0, Buffer.from(`lost ${i}`)));
    for (const outcome of await Promise.allSettled(failing)) {
      assert.equal(outcome.status, "rejected");
      assert.ok(outcome.reason instanceof LogUnavailableError);
      assert.equal(outcome.reason.cause, FULL);
    }
    await assert.rejects(log.append(TOPIC, 0, Buffer.from("refused")), LogUnavailableError);
    assert.deepEqual(
      problems.map((problem) => problem.kind),
      ["write-failed"],
    );

    // What was there can still be read.
    const [records] = await readAll(log);
    assert.deepEqual(records?.map(textOf), ["kept"]);
    await log[Symbol.asyncDispose]();

    // What was refused does not come back from the kernel's memory.
    const reopened = await openTestLog(files);
    assert.equal((await reopened.append(TOPIC, 0, Buffer.from("next"))).offset, 1);
    assert.deepEqual((await readAll(reopened))[0]?.map(textOf), ["kept", "next"]);
  });
}

for (const kind of ["append", "dataSync", "rename", "directory"] satisfies OperationKind[]) {
  test(`a segment that cannot be created (${kind}) fails the append and loses nothing`, async () => {
    const files = createPowerLossFiles();
    const log = await openTestLog(files, { segmentBytesMax: 100 });
    await log.append(TOPIC, 0, Buffer.alloc(200, "a"));
    files.failNext(kind, FULL);
    await assert.rejects(log.append(TOPIC, 0, Buffer.from("b")), LogUnavailableError);
    await log[Symbol.asyncDispose]();
    const reopened = await openTestLog(files, { segmentBytesMax: 100 });
    assert.equal((await reopened.append(TOPIC, 0, Buffer.from("c"))).offset, 1);
    const again = await openTestLog(files.afterProcessKill(), { segmentBytesMax: 100 });
    assert.deepEqual((await readAll(again))[0]?.map(textOf), ["a".repeat(200), "c"]);
  });
}

test("commits are not written either after a failure, and the consumer can still be disposed", async () => {
  const files = createPowerLossFiles();
  const log = await openTestLog(files, { commitDelayMs: 0 });
  await log.append(TOPIC, 0, Buffer.from("kept"));
  const consumer = await log.consume({ topic: TOPIC, group: "reader", onBatch: async () => {} });
  files.failNext("append", FULL);
  await assert.rejects(log.append(TOPIC, 0, Buffer.from("lost")), LogUnavailableError);
  consumer.commit(0, 1);
  await log[Symbol.asyncDispose]();
});

test("overload is refused by bytes, and frees itself as batches reach the disk", async () => {
  const log = await openTestLog(createPowerLossFiles(), { queueBytesMax: 5 * 428 });
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 }, () => log.append(TOPIC, 0, Buffer.alloc(172))),
  );
  // A record counts 256 bytes besides its value: five of them are exactly the limit.
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status),
    [...new Array(5).fill("fulfilled"), ...new Array(5).fill("rejected")],
  );
  const [refused] = outcomes.filter((outcome) => outcome.status === "rejected");
  assert.ok(refused?.reason instanceof LogOverloadedError);
  assert.equal((await log.append(TOPIC, 0, Buffer.alloc(900))).offset, 5);
});

test("one write and one sync take all appends of a turn; the next batch collects meanwhile", async () => {
  const files = createPowerLossFiles();
  const log = await openTestLog(files);
  await log.append(TOPIC, 0, Buffer.from("first"));
  const before = files.operationCount;
  await Promise.all(Array.from({ length: 100 }, () => log.append(TOPIC, 1, Buffer.from("x"))));
  assert.equal(files.operationCount - before, 2);
});

test("with a batch window, appends of several turns share one write and one sync", async () => {
  const files = createPowerLossFiles();
  const log = await openTestLog(files, { batchWindowMs: 20 });
  const before = files.operationCount;
  const first = log.append(TOPIC, 0, Buffer.from("a"));
  await nextTurn();
  await Promise.all([first, log.append(TOPIC, 0, Buffer.from("b"))]);
  assert.equal(files.operationCount - before, 2);
});
