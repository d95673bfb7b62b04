import assert from "node:assert/strict";
import { test } from "node:test";
import { LogRangeError } from "../port.ts";
import { LogCorruptError, LogIdentityError } from "./errors.ts";
import type { LogProblem } from "./options.ts";
import { createPowerLossFiles, type PowerLossFiles } from "./power-loss.ts";
import { segmentPath } from "./segments.ts";
import { DIRECTORY, openTestLog, readAll, TOPIC, textOf } from "./test-log.ts";

const FIRST = segmentPath(DIRECTORY, 1);
const IDENTITY = `${DIRECTORY}/identity.json`;

/** A disk after kill -9, with records 0 to `count - 1` in partition 0, each in a batch of its own. */
async function diskWithRecords(count: number): Promise<PowerLossFiles> {
  const files = createPowerLossFiles();
  const log = await openTestLog(files);
  for (let i = 0; i < count; i++) await log.append(TOPIC, 0, Buffer.from(`record ${i}`));
  return files.afterProcessKill();
}

/** Where the last batch of the first segment begins and ends. */
async function lastBatch(files: PowerLossFiles): Promise<{ start: number; end: number }> {
  const end = await files.size(FIRST);
  const bytes = await files.read(FIRST, 0, end);
  return { start: bytes.lastIndexOf("PLB1"), end };
}

test("a last batch that is cut at any byte is removed, and the log goes on before it", async () => {
  const whole = await diskWithRecords(3);
  const { start, end } = await lastBatch(whole);
  assert.ok(end - start > 56, "a header, an entry and a value");
  for (let cut = start; cut < end; cut++) {
    const files = whole.afterProcessKill();
    files.damage(FIRST, (bytes) => bytes.subarray(0, cut));
    const problems: LogProblem[] = [];
    const log = await openTestLog(files, { onProblem: (problem) => problems.push(problem) });
    assert.deepEqual(await log.range(TOPIC, 0), { startOffset: 0, endOffset: 2 }, `cut at ${cut}`);
    assert.equal(problems.length, cut === start ? 0 : 1);
    assert.equal((await log.append(TOPIC, 0, Buffer.from("again"))).offset, 2);
    await log[Symbol.asyncDispose]();
    const reopened = await openTestLog(files);
    const [records] = await readAll(reopened);
    assert.deepEqual(records?.map(textOf), ["record 0", "record 1", "again"]);
  }
});

test("a last batch with any one byte changed, or zeros after it, is removed", async () => {
  const whole = await diskWithRecords(3);
  const { start, end } = await lastBatch(whole);
  for (let at = start; at < end; at++) {
    const files = whole.afterProcessKill();
    files.damage(FIRST, (bytes) => {
      bytes[at] = (bytes[at] ?? 0) ^ 0x40;
      return bytes;
    });
    const log = await openTestLog(files);
    assert.deepEqual(await log.range(TOPIC, 0), { startOffset: 0, endOffset: 2 }, `byte ${at}`);
  }
  const files = whole.afterProcessKill();
  files.damage(FIRST, (bytes) => Buffer.concat([bytes, Buffer.alloc(5000)]));
  const log = await openTestLog(files);
  assert.deepEqual(await log.range(TOPIC, 0), { startOffset: 0, endOffset: 3 });
});

test("a changed byte before the last batch is damage: the log does not open, the file stays", async () => {
  const whole = await diskWithRecords(4);
  const { start } = await lastBatch(whole);
  for (let at = 0; at < start; at++) {
    const files = whole.afterProcessKill();
    files.damage(FIRST, (bytes) => {
      bytes[at] = (bytes[at] ?? 0) ^ 0x01;
      return bytes;
    });
    const before = await files.read(FIRST, 0, 10_000);
    await assert.rejects(openTestLog(files), LogCorruptError, `byte ${at}`);
    assert.deepEqual(await files.read(FIRST, 0, 10_000), before);
    await assert.rejects(openTestLog(files), LogCorruptError, "the lock was released");
  }
});

test("after an orderly end, damage to the very last record is damage too", async () => {
  const files = createPowerLossFiles();
  const log = await openTestLog(files);
  await log.append(TOPIC, 0, Buffer.from("the last one"));
  await log[Symbol.asyncDispose]();
  files.damage(FIRST, (bytes) => {
    bytes.write("X", bytes.indexOf("the last one"));
    return bytes;
  });
  await assert.rejects(openTestLog(files), LogCorruptError);
});

test("a value that contains a copy of the log is not taken for a batch", async () => {
  const files = createPowerLossFiles();
  const log = await openTestLog(files);
  await log.append(TOPIC, 0, Buffer.from("first"));
  const copy = await files.read(FIRST, 0, 10_000);
  await log.append(TOPIC, 0, copy);
  const { end } = await lastBatch(files);
  // The batch with the copy is torn in its last byte; the batches inside it are whole.
  const killed = files.afterProcessKill();
  killed.damage(FIRST, (bytes) => bytes.subarray(0, end - 1));
  const reopened = await openTestLog(killed);
  assert.deepEqual(await reopened.range(TOPIC, 0), { startOffset: 0, endOffset: 1 });
});

test("damage in an older segment is reported when it is read, and nothing is skipped", async () => {
  const files = createPowerLossFiles();
  const log = await openTestLog(files, { segmentBytesMax: 300 });
  for (let i = 0; i < 20; i++) await log.append(TOPIC, 0, Buffer.from(`record ${i}`));
  await log[Symbol.asyncDispose]();
  files.damage(segmentPath(DIRECTORY, 2), (bytes) => {
    bytes[bytes.length - 1] = 255;
    return bytes;
  });
  const damaged = Promise.withResolvers<LogProblem>();
  const reopened = await openTestLog(files, { onProblem: damaged.resolve });
  const delivered: string[] = [];
  const consumer = await reopened.consume({
    topic: TOPIC,
    group: "reader",
    onBatch: async ({ records }) => {
      delivered.push(...records.map(textOf));
    },
  });
  const problem = await damaged.promise;
  assert.equal(problem.kind, "delivery-failed");
  assert.ok(problem.error instanceof LogCorruptError);
  await consumer[Symbol.asyncDispose]();
  assert.ok(delivered.length > 0 && delivered.length < 20);
  assert.deepEqual(
    delivered,
    delivered.map((_, i) => `record ${i}`),
  );
});

test("a commit is known after any number of segments, and after a kill", async () => {
  const files = createPowerLossFiles();
  const options = { segmentBytesMax: 300, commitDelayMs: 0 };
  const log = await openTestLog(files, options);
  const consumer = await log.consume({ topic: TOPIC, group: "store", onBatch: async () => {} });
  for (let i = 0; i < 10; i++) await log.append(TOPIC, 0, Buffer.from(`record ${i}`));
  consumer.commit(0, 4);
  // Several segments later only their snapshots speak of the commit.
  for (let i = 10; i < 30; i++) await log.append(TOPIC, 0, Buffer.from(`record ${i}`));
  const reopened = await openTestLog(files.afterProcessKill(), options);
  const first = Promise.withResolvers<string>();
  await reopened.consume({
    topic: TOPIC,
    group: "store",
    onBatch: async ({ records }) => first.resolve(textOf(records[0])),
  });
  assert.equal(await first.promise, "record 4");
});

test("a missing segment, or a missing or damaged identity, is an error that says so", async () => {
  const files = createPowerLossFiles();
  const log = await openTestLog(files, { segmentBytesMax: 300 });
  for (let i = 0; i < 20; i++) await log.append(TOPIC, 0, Buffer.from(`record ${i}`));
  await log[Symbol.asyncDispose]();

  const gap = files.afterProcessKill();
  await gap.remove(segmentPath(DIRECTORY, 2));
  await assert.rejects(openTestLog(gap), /0000000002\.segment is missing/);

  const empty = await diskWithRecords(1);
  await empty.remove(FIRST);
  await assert.rejects(openTestLog(empty), /has an identity but no segment/);

  const anonymous = files.afterProcessKill();
  await anonymous.remove(IDENTITY);
  await assert.rejects(openTestLog(anonymous), /has records but no identity/);

  const illegible = files.afterProcessKill();
  illegible.damage(IDENTITY, (bytes) => bytes.subarray(0, 20));
  await assert.rejects(openTestLog(illegible), LogCorruptError);

  const foreign = files.afterProcessKill();
  const other = await openTestLog(createPowerLossFiles());
  foreign.damage(IDENTITY, (bytes) =>
    Buffer.from(bytes.toString().replace(log.identity.epoch, other.identity.epoch)),
  );
  await assert.rejects(openTestLog(foreign), /does not begin with a batch of this log/);
});

test("another partition count is refused and says what to do", async () => {
  const files = await diskWithRecords(1);
  await assert.rejects(openTestLog(files, { partitionCount: 3 }), (error: unknown) => {
    assert.ok(error instanceof LogIdentityError);
    assert.match(error.message, /has 2 partitions and was opened with 3.*Configure 2/);
    return true;
  });
  await openTestLog(files);
});

test("a log that was created anew refuses a store's checkpoint of the old one", async () => {
  const old = await openTestLog(createPowerLossFiles());
  const log = await openTestLog(createPowerLossFiles());
  assert.notEqual(log.identity.epoch, old.identity.epoch);
  const consuming = log.consume({
    topic: TOPIC,
    group: "store",
    onAssigned: async () => 3,
    onBatch: async () => {},
  });
  await assert.rejects(consuming, LogRangeError);
});

test("a creation that loses power at any moment can be repeated", async () => {
  const trial = createPowerLossFiles();
  await openTestLog(trial);
  const operations = trial.operationCount;
  for (let cut = 1; cut <= operations; cut++) {
    for (const luck of [0, 0.4, 0.7, 0.999]) {
      const files = createPowerLossFiles();
      await files.createDirectory(DIRECTORY);
      files.cutPowerAt(cut + 1);
      await openTestLog(files).catch(() => {});
      const log = await openTestLog(files.afterPowerLoss(() => luck));
      assert.equal((await log.append(TOPIC, 0, Buffer.from("x"))).offset, 0);
    }
  }
});
