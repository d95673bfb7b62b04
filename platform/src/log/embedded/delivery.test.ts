import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogBatch } from "../port.ts";
import type { LogProblem } from "./options.ts";
import { createPowerLossFiles } from "./power-loss.ts";
import { createPartitionTail, createTailWindow } from "./tail.ts";
import { openTestLog, TOPIC, textOf } from "./test-log.ts";

function record(partition: number, offset: number, bytes: number) {
  return { topic: TOPIC, partition, offset, appendTimeMs: 0, value: new Uint8Array(bytes) };
}

test("at the tail, records come from memory: no file is read", async () => {
  const files = createPowerLossFiles();
  const log = await openTestLog(files);
  let delivered = 0;
  let awaited = 1;
  let reached = Promise.withResolvers<void>();
  await log.consume({
    topic: TOPIC,
    group: "reader",
    onBatch: async ({ records }) => {
      delivered += records.length;
      if (delivered === awaited) reached.resolve();
    },
  });
  await log.append(TOPIC, 0, Buffer.from("first"));
  await reached.promise;
  const reads: string[] = [];
  const { read } = files;
  files.read = (path, position, bytes) => {
    reads.push(path);
    return read.call(files, path, position, bytes);
  };
  for (let round = 1; round <= 5; round++) {
    reached = Promise.withResolvers();
    awaited += 100;
    for (let i = 0; i < 100; i++) void log.append(TOPIC, i % 2, Buffer.from(`${i}`));
    await reached.promise;
  }
  assert.deepEqual(reads, []);
});

test("a consumer that falls behind reads files: memory holds the newest records of all, bounded", async () => {
  const files = createPowerLossFiles();
  const log = await openTestLog(files, { tailBytesMax: 20_000, deliveryRecordsMax: 10 });
  const gate = Promise.withResolvers<void>();
  const done = Promise.withResolvers<void>();
  const values: string[] = [];
  await log.consume({
    topic: TOPIC,
    group: "slow",
    onBatch: async ({ records }) => {
      await gate.promise;
      values.push(...records.map(textOf));
      if (values.length === 500) done.resolve();
    },
  });
  for (let i = 0; i < 500; i++) await log.append(TOPIC, 0, Buffer.from(`${i}`));
  let reads = 0;
  const { read } = files;
  files.read = (path, position, bytes) => {
    reads += 1;
    return read.call(files, path, position, bytes);
  };
  gate.resolve();
  await done.promise;
  assert.ok(reads > 0);
  assert.deepEqual(
    values,
    values.map((_, i) => `${i}`),
  );
});

test("the tails of all partitions together stay within the window, and lose the oldest first", () => {
  const window = createTailWindow(10_000);
  const partitions = [0, 1, 2].map(() => ({ tail: createPartitionTail() }));
  const limits = { recordsMax: 1000, bytesMax: 1_000_000 };
  for (let i = 0; i < 300; i++) {
    const partition = partitions[i % 3];
    assert.ok(partition);
    window.add([record(i % 3, Math.floor(i / 3), 744)], [partition]);
  }
  // Each counts 744 + 256 bytes: ten of them fit.
  const left = partitions.map(({ tail }) => tail.read(99, limits)?.length ?? 0);
  assert.deepEqual(left, [1, 1, 1]);
  assert.equal(partitions[2]?.tail.read(96, limits)?.length, 4);
  assert.equal(partitions[1]?.tail.read(97, limits)?.length, 3);
  assert.equal(partitions[1]?.tail.read(96, limits), undefined);
  window.add([record(0, 100, 20_000)], [partitions[0] ?? { tail: createPartitionTail() }]);
  assert.equal(partitions[0]?.tail.read(100, limits), undefined, "larger than the window");
});

test("a delivery is bounded by records and by bytes, and holds at least one record", async () => {
  // From memory, from one block of a file, and from a block per record.
  for (const tuning of [{}, { tailBytesMax: 1 }, { tailBytesMax: 1, blockBytes: 1 }]) {
    const log = await openTestLog(createPowerLossFiles(), {
      ...tuning,
      deliveryRecordsMax: 4,
      deliveryBytesMax: 1000,
    });
    const sizes = [10, 10, 10, 10, 10, 600, 600, 400, 2000, 5];
    for (const bytes of sizes) await log.append(TOPIC, 0, new Uint8Array(bytes));
    const batches: LogBatch[] = [];
    const done = Promise.withResolvers<void>();
    await log.consume({
      topic: TOPIC,
      group: "reader",
      onBatch: async (batch) => {
        batches.push(batch);
        if (batches.flatMap(({ records }) => records).length === sizes.length) done.resolve();
      },
    });
    await done.promise;
    assert.deepEqual(
      batches.map(({ records }) => records.map(({ value }) => value.byteLength)),
      [[10, 10, 10, 10], [10, 600], [600, 400], [2000], [5]],
    );
  }
});

test("a failing handler is reported with growing, bounded pauses", async () => {
  const problems: Extract<LogProblem, { kind: "delivery-failed" }>[] = [];
  const done = Promise.withResolvers<void>();
  const log = await openTestLog(createPowerLossFiles(), {
    retryPauseMinMs: 1,
    retryPauseMaxMs: 8,
    onProblem: (problem) => {
      if (problem.kind === "delivery-failed") problems.push(problem);
      if (problems.length === 6) done.resolve();
    },
  });
  await log.append(TOPIC, 1, Buffer.from("poison"));
  const failure = new Error("planned failure of a handler");
  const consumer = await log.consume({
    topic: TOPIC,
    group: "reader",
    onBatch: () => {
      throw failure;
    },
  });
  await done.promise;
  await consumer[Symbol.asyncDispose]();
  for (const [i, problem] of problems.entries()) {
    assert.equal(problem.error, failure);
    assert.deepEqual(
      [problem.topic, problem.group, problem.partition, problem.offset, problem.attempt],
      [TOPIC, "reader", 1, 0, i + 1],
    );
    assert.ok(problem.pauseMs <= Math.min(8, 2 ** i), `${problem.pauseMs} ms after ${i + 1}`);
  }
});

test("disposing ends a long pause at once", async () => {
  const failed = Promise.withResolvers<void>();
  const log = await openTestLog(createPowerLossFiles(), {
    retryPauseMinMs: 3_600_000,
    retryPauseMaxMs: 3_600_000,
    onProblem: () => failed.resolve(),
  });
  await log.append(TOPIC, 0, Buffer.from("poison"));
  await log.consume({
    topic: TOPIC,
    group: "reader",
    onBatch: async () => {
      throw new Error("planned failure of a handler");
    },
  });
  await failed.promise;
  await log[Symbol.asyncDispose]();
});

test("a second consumer of a group is refused while the first lives", async () => {
  const log = await openTestLog(createPowerLossFiles());
  const options = { topic: TOPIC, group: "reader", onBatch: async () => {} };
  const first = await log.consume(options);
  await assert.rejects(log.consume(options), /consumes messages already/);
  await first[Symbol.asyncDispose]();
  await log.consume(options);
});

test("a failing onAssigned rejects consume, and the group is free again", async () => {
  const log = await openTestLog(createPowerLossFiles());
  const failure = new Error("the store is not there");
  const onBatch = async () => {};
  const failing = {
    topic: TOPIC,
    group: "reader",
    onBatch,
    onAssigned: () => Promise.reject(failure),
  };
  await assert.rejects(log.consume(failing), failure);
  await log.consume({ topic: TOPIC, group: "reader", onBatch });
});

test("a handler may append to the log while it is being disposed", async () => {
  const files = createPowerLossFiles();
  const log = await openTestLog(files);
  const started = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  await log.consume({
    topic: TOPIC,
    group: "forwarder",
    onBatch: async ({ records }) => {
      started.resolve();
      await gate.promise;
      for (const { value } of records) await log.append("forwarded", 0, value);
    },
  });
  await log.append(TOPIC, 0, Buffer.from("a"));
  await started.promise;
  const disposing = log[Symbol.asyncDispose]();
  gate.resolve();
  await disposing;
  const reopened = await openTestLog(files);
  assert.equal((await reopened.range("forwarded", 0)).endOffset, 1);
});

test("names and limits that no log can have are RangeErrors", async () => {
  const files = createPowerLossFiles();
  for (const partitionCount of [0, 1025, 1.5]) {
    await assert.rejects(openTestLog(files, { partitionCount }), RangeError);
  }
  await assert.rejects(openTestLog(files, { segmentBytesMax: 2 ** 31 }), RangeError);
  const log = await openTestLog(files);
  await assert.rejects(log.append("no spaces", 0, Buffer.from("x")), RangeError);
  for (let i = 0; i < 256; i++) await log.append(`topic-${i}`, 0, Buffer.from("x"));
  await assert.rejects(log.append("one-more", 0, Buffer.from("x")), RangeError);
});
