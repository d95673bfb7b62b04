import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Log, LogPosition } from "../port.ts";
import { createPowerLossFiles, type PowerLossFiles } from "./power-loss.ts";
import { createRandom, openTestLog, readAll, TOPIC, textOf } from "./test-log.ts";

/** Small enough that power also goes while segments are being created. */
const TUNING = { segmentBytesMax: 1500, batchBytesMax: 400, blockBytes: 256, commitDelayMs: 0 };
const ROUNDS = 4;

/** What must survive: values of acknowledged records by partition and offset, and the highest commits. */
type Acknowledged = { readonly values: Map<number, string>[]; readonly commits: number[] };

/** Appends from several writers until the power goes; resolves when all have noticed. */
async function appendUntilPowerLoss(
  log: Log,
  acknowledged: Acknowledged,
  round: number,
): Promise<void> {
  const consumer = await log.consume({ topic: TOPIC, group: "store", onBatch: async () => {} });
  const write = async (writer: number): Promise<void> => {
    for (let i = 0; ; i++) {
      const value = `${round}/${writer}/${i}${"x".repeat((i * 37) % 90)}`;
      const position: LogPosition = await log.append(TOPIC, writer % 2, Buffer.from(value));
      acknowledged.values[position.partition]?.set(position.offset, value);
      const committed = acknowledged.commits[position.partition] ?? 0;
      acknowledged.commits[position.partition] = Math.max(committed, position.offset + 1);
      consumer.commit(position.partition, position.offset + 1);
    }
  };
  await Promise.allSettled([0, 1, 2, 3].map(write));
  await log[Symbol.asyncDispose]();
}

async function verify(log: Log, acknowledged: Acknowledged): Promise<void> {
  const found = await readAll(log);
  for (const [partition, records] of found.entries()) {
    for (const [i, record] of records.entries())
      assert.equal(record.offset, i, "offsets are dense");
    for (const [offset, value] of acknowledged.values[partition] ?? []) {
      assert.equal(textOf(records[offset]), value, `acknowledged ${partition}/${offset}`);
    }
  }
  // A commit may be forgotten, and is never ahead of what was committed.
  const starts: number[] = [];
  const consumer = await log.consume({
    topic: TOPIC,
    group: "store",
    onBatch: async ({ partition, records }) => {
      starts[partition] ??= records[0]?.offset ?? 0;
    },
  });
  await consumer[Symbol.asyncDispose]();
  for (const [partition, start] of starts.entries()) {
    assert.ok((start ?? 0) <= (acknowledged.commits[partition] ?? 0));
  }
}

async function rounds(seed: number, firstDisk: PowerLossFiles): Promise<number> {
  const random = createRandom(seed);
  const acknowledged: Acknowledged = { values: [new Map(), new Map()], commits: [0, 0] };
  let disk = firstDisk;
  for (let round = 0; round < ROUNDS; round++) {
    disk.cutPowerAt(1 + Math.floor(random() * 150));
    try {
      const log = await openTestLog(disk, TUNING);
      await appendUntilPowerLoss(log, acknowledged, round);
    } catch {
      // The power went while the log was being opened.
    }
    disk = disk.afterPowerLoss(random);
    // A log that never came to be has no directory; then there is nothing to lose either.
    const log = await openTestLog(disk, TUNING);
    await verify(log, acknowledged);
    // Half of the time the next round starts from a kill instead of an orderly end.
    if (random() < 0.5) await log[Symbol.asyncDispose]();
    else disk = disk.afterProcessKill();
  }
  return acknowledged.values.reduce((sum, values) => sum + values.size, 0);
}

test("whenever the power goes, every acknowledged record is there and offsets are dense", async () => {
  let acknowledged = 0;
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      acknowledged += await rounds(seed, createPowerLossFiles());
    }),
    { numRuns: 60 },
  );
  assert.ok(acknowledged > 3000, `only ${acknowledged} records were put to the test`);
});

test("a disk that only says it has synced loses acknowledged records: the test above can fail", async () => {
  const lying = createPowerLossFiles();
  const { openAppend } = lying;
  lying.openAppend = async (path) => {
    const file = await openAppend.call(lying, path);
    return { ...file, dataSync: async () => {} };
  };
  const log = await openTestLog(lying);
  await log.append(TOPIC, 0, Buffer.from("acknowledged"));
  const found = await openTestLog(lying.afterPowerLoss(() => 0)).then(
    (reopened) => reopened.range(TOPIC, 0),
    () => undefined,
  );
  assert.notEqual(found?.endOffset, 1);
});

test("what a killed process left in the kernel's memory only is synced before it is served", async () => {
  const disk = createPowerLossFiles();
  const { openAppend } = disk;
  const log = await openTestLog(disk);
  await log[Symbol.asyncDispose]();
  // The second life of the log dies between the write and the sync.
  disk.openAppend = async (path) => {
    const file = await openAppend.call(disk, path);
    return { ...file, dataSync: async () => {} };
  };
  const killed = await openTestLog(disk);
  await killed.append(TOPIC, 0, Buffer.from("written, not synced"));
  const served = disk.afterProcessKill();
  const reopened = await openTestLog(served);
  assert.deepEqual(await reopened.range(TOPIC, 0), { startOffset: 0, endOffset: 1 });
  // A store may have applied it by now, so it must not go away again.
  const after = await openTestLog(served.afterPowerLoss(() => 0));
  assert.deepEqual(await after.range(TOPIC, 0), { startOffset: 0, endOffset: 1 });
});

test("the disk in memory keeps what was synced, and names whose directory was synced", async () => {
  const disk = createPowerLossFiles();
  await disk.createDirectory("/d");
  const file = await disk.openAppend("/d/a");
  await file.append(Buffer.from("synced"));
  await file.dataSync();
  await file.append(Buffer.from(" and not"));
  const nameless = disk.afterPowerLoss(() => 0);
  assert.deepEqual(await nameless.list("/d"), []);
  await disk.syncDirectory("/d");
  await disk.rename("/d/a", "/d/b");

  const unlucky = disk.afterPowerLoss(() => 0);
  assert.deepEqual(await unlucky.list("/d"), ["a"]);
  assert.equal((await unlucky.read("/d/a", 0, 100)).toString(), "synced");
  const killed = disk.afterProcessKill();
  assert.deepEqual(await killed.list("/d"), ["b"]);
  assert.equal((await killed.read("/d/b", 0, 100)).toString(), "synced and not");
  const lostAfterKill = killed.afterPowerLoss(() => 0);
  assert.equal((await lostAfterKill.read("/d/a", 0, 100)).toString(), "synced");
});
