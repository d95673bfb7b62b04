import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock, type ManualClock } from "../../clock.ts";
import { type Log, LogRangeError } from "../port.ts";
import { createPowerLossFiles, type PowerLossFiles } from "./power-loss.ts";
import { segmentNumber } from "./segments.ts";
import { DIRECTORY, openTestLog, readAll, type TestLogOptions, TOPIC, textOf } from "./test-log.ts";

const DAY_MS = 86_400_000;

type Fixture = { files: PowerLossFiles; clock: ManualClock; options: TestLogOptions; log: Log };

/** Records 0 to 9 in partition 0, half a day apart, each in a segment of its own: none is too old yet. */
async function fiveDays(): Promise<Fixture> {
  const files = createPowerLossFiles();
  const clock = createManualClock();
  const options = { clock, segmentBytesMax: 100, commitDelayMs: 1 };
  const log = await openTestLog(files, options);
  for (let i = 0; i < 10; i++) {
    await log.append(TOPIC, 0, Buffer.from(`record ${i}`));
    clock.advance(DAY_MS / 2);
  }
  return { files, clock, options, log };
}

async function segmentsOf(files: PowerLossFiles): Promise<number> {
  const names = await files.list(DIRECTORY);
  return names.filter((name) => segmentNumber(name) !== undefined).length;
}

/** Retention runs after a segment was sealed and by the clock; opening waits for it. */
async function reopen({ files, options, log }: Fixture): Promise<Log> {
  await log[Symbol.asyncDispose]();
  return openTestLog(files, options);
}

test("records older than the retention time go, in whole segments; offsets go on", async () => {
  const fixture = await fiveDays();
  assert.deepEqual(await fixture.log.range(TOPIC, 0), { startOffset: 0, endOffset: 10 });
  fixture.clock.advance(4 * DAY_MS);
  const log = await reopen(fixture);
  // Records 0 to 3 are 9 to 7.5 days old, record 4 is exactly 7.
  const { startOffset, endOffset } = await log.range(TOPIC, 0);
  assert.deepEqual({ startOffset, endOffset }, { startOffset: 4, endOffset: 10 });
  const [records] = await readAll(log);
  assert.equal(textOf(records?.[0]), "record 4");
  assert.equal((await log.append(TOPIC, 0, Buffer.from("record 10"))).offset, 10);
  const asked = log.consume({
    topic: TOPIC,
    group: "store",
    onAssigned: async () => startOffset - 1,
    onBatch: async () => {},
  });
  await assert.rejects(asked, LogRangeError);
});

test("when everything is old, the last segment stays and says where each partition goes on", async () => {
  const fixture = await fiveDays();
  fixture.clock.advance(30 * DAY_MS);
  await fixture.log.append("other", 1, Buffer.from("later"));
  fixture.clock.advance(30 * DAY_MS);
  await fixture.log.append("other", 1, Buffer.from("last"));
  fixture.clock.advance(30 * DAY_MS);
  const log = await reopen(fixture);
  assert.equal(await segmentsOf(fixture.files), 1);
  assert.deepEqual(await log.range(TOPIC, 0), { startOffset: 10, endOffset: 10 });
  assert.deepEqual(await log.range("other", 1), { startOffset: 1, endOffset: 2 });
  assert.equal((await log.append(TOPIC, 0, Buffer.from("on"))).offset, 10);
});

test("a known group holds back what it has not committed, also while it is not connected", async () => {
  const fixture = await fiveDays();
  const consumer = await fixture.log.consume({
    topic: TOPIC,
    group: "slow",
    onBatch: async () => {},
  });
  await consumer[Symbol.asyncDispose]();
  fixture.clock.advance(4 * DAY_MS);
  fixture.log = await reopen(fixture);
  assert.deepEqual(await fixture.log.range(TOPIC, 0), { startOffset: 0, endOffset: 10 });

  const again = await fixture.log.consume({ topic: TOPIC, group: "slow", onBatch: async () => {} });
  again.commit(0, 2);
  await again[Symbol.asyncDispose]();
  fixture.log = await reopen(fixture);
  assert.deepEqual(await fixture.log.range(TOPIC, 0), { startOffset: 2, endOffset: 10 });
});

test("a consumer that is behind keeps what it still has to read", async () => {
  const fixture = await fiveDays();
  const gate = Promise.withResolvers<void>();
  const delivered: string[] = [];
  const done = Promise.withResolvers<void>();
  const consumer = await fixture.log.consume({
    topic: TOPIC,
    group: "slow",
    onBatch: async ({ records }) => {
      await gate.promise;
      delivered.push(...records.map(textOf));
      if (delivered.length === 10) done.resolve();
    },
  });
  consumer.commit(0, 10); // Ahead of its own handler: a promise about other parts of the product.
  fixture.clock.advance(4 * DAY_MS);
  await fixture.log.append("other", 0, Buffer.from("The commit goes to disk before this."));
  fixture.clock.advance(60_000);
  assert.deepEqual(await fixture.log.range(TOPIC, 0), { startOffset: 0, endOffset: 10 });
  gate.resolve();
  await done.promise;
  assert.equal(delivered[0], "record 0");
  await consumer[Symbol.asyncDispose]();
  const log = await reopen(fixture);
  assert.equal((await log.range(TOPIC, 0)).startOffset, 4);
});

test("a forgotten group holds nothing back", async () => {
  const fixture = await fiveDays();
  const consumer = await fixture.log.consume({
    topic: TOPIC,
    group: "gone",
    onBatch: async () => {},
  });
  await consumer[Symbol.asyncDispose]();
  fixture.clock.advance(4 * DAY_MS);
  fixture.log = await reopen(fixture);
  assert.equal((await fixture.log.range(TOPIC, 0)).startOffset, 0);
  await fixture.log[Symbol.asyncDispose]();
  const log = await openTestLog(fixture.files, { ...fixture.options, forgottenGroups: ["gone"] });
  assert.ok((await log.range(TOPIC, 0)).startOffset > 0);
});

test("segments that cannot be deleted are reported, stay in order, and go the next time", async () => {
  const fixture = await fiveDays();
  await fixture.log[Symbol.asyncDispose]();
  fixture.clock.advance(4 * DAY_MS);
  const reported: string[] = [];
  fixture.files.failNext("remove", new Error("EIO"));
  const log = await openTestLog(fixture.files, {
    ...fixture.options,
    onProblem: (problem) => reported.push(problem.kind),
  });
  assert.deepEqual(reported, ["retention-failed"]);
  fixture.log = log;
  const reopened = await reopen(fixture);
  assert.ok((await reopened.range(TOPIC, 0)).startOffset > 0);
});

test("a segment that is old is sealed by the next record, so that retention comes round", async () => {
  const files = createPowerLossFiles();
  const clock = createManualClock();
  const log = await openTestLog(files, { clock, segmentAgeMaxMs: DAY_MS });
  await log.append(TOPIC, 0, Buffer.from("old"));
  clock.advance(DAY_MS);
  await log.append(TOPIC, 0, Buffer.from("new"));
  assert.equal(await segmentsOf(files), 2);
});
