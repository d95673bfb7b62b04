/** The cases of the log contract that concern consumers; used by `port.contract.ts` only. */
import assert from "node:assert/strict";
import {
  appendMany,
  collect,
  type LogCase,
  newTopic,
  text,
  textOf,
} from "./port.contract-harness.ts";
import { LogRangeError } from "./port.ts";

export const deliveryCases: Record<string, LogCase> = {
  "records of a partition arrive in offset order, as they were appended": async ({ log }) => {
    const topic = newTopic();
    const consumer = await collect(log, { topic, group: "reader" });
    const positions = await Promise.all(
      Array.from({ length: 300 }, (_, i) => log.append(topic, i % 3, text(`${i}`))),
    );
    await consumer.take(300);
    for (const partition of [0, 1, 2]) {
      const records = consumer.of(partition);
      assert.deepEqual(
        records.map(textOf),
        Array.from({ length: 100 }, (_, i) => `${i * 3 + partition}`),
      );
      for (const [i, record] of records.entries()) {
        assert.equal(record.topic, topic);
        const position = { partition, offset: i, appendTimeMs: record.appendTimeMs };
        assert.deepEqual(positions[i * 3 + partition], position);
      }
    }
  },

  "one handler at a time per partition; another partition does not wait for it": async ({
    log,
  }) => {
    const topic = newTopic();
    const gate = Promise.withResolvers<void>();
    let running = 0;
    let runningMax = 0;
    const consumer = await collect(log, {
      topic,
      group: "reader",
      onBatch: async ({ partition }) => {
        if (partition !== 0) return;
        running += 1;
        runningMax = Math.max(runningMax, running);
        await gate.promise;
        running -= 1;
      },
    });
    for (let i = 0; i < 10; i++) await log.append(topic, 0, text(`blocked ${i}`));
    for (let i = 0; i < 10; i++) await log.append(topic, 1, text(`free ${i}`));
    await consumer.take(10);
    assert.equal(consumer.of(0).length, 0);
    assert.equal(consumer.of(1).length, 10);
    gate.resolve();
    await consumer.take(20);
    assert.equal(runningMax, 1);
  },

  "a record whose handler failed comes again, and none is skipped": async ({ log }) => {
    const topic = newTopic();
    const seen: number[][] = [];
    let failures = 3;
    const consumer = await collect(log, {
      topic,
      group: "reader",
      onBatch: async ({ partition, records }) => {
        if (partition !== 2) return;
        seen.push(records.map((record) => record.offset));
        if (failures-- > 0) throw new Error("planned failure of a handler");
      },
    });
    await appendMany(log, topic, 2, 5);
    await consumer.take(5);
    for (const offsets of seen.slice(0, 4)) assert.deepEqual(offsets, seen[0]);
    assert.ok(seen.length >= 4);
    assert.deepEqual(
      consumer.records.map((record) => record.offset),
      [0, 1, 2, 3, 4],
    );
  },

  "a group goes on from its commit; without one, from the oldest record": async (harness) => {
    const topic = newTopic();
    await appendMany(harness.log, topic, 0, 10);
    await appendMany(harness.log, topic, 1, 4);
    const first = await collect(harness.log, { topic, group: "reader" });
    await first.take(14);
    first.commit(0, 7);
    first.commit(0, 3); // Lower than before: ignored.
    await first[Symbol.asyncDispose]();
    const second = await collect(harness.log, { topic, group: "reader" });
    await second.take(7);
    assert.deepEqual([second.of(0)[0]?.offset, second.of(1)[0]?.offset], [7, 0]);
    second.commit(1, 4);

    const third = await collect(await harness.reopen(), { topic, group: "reader" });
    await third.take(3);
    assert.deepEqual(
      third.records.map((record) => [record.partition, record.offset]),
      [
        [0, 7],
        [0, 8],
        [0, 9],
      ],
    );
  },

  "committing beyond the end is a RangeError": async ({ log }) => {
    const topic = newTopic();
    await appendMany(log, topic, 0, 2);
    const consumer = await collect(log, { topic, group: "reader" });
    assert.throws(() => consumer.commit(0, 3), RangeError);
    assert.throws(() => consumer.commit(log.identity.partitionCount, 0), RangeError);
  },

  "onAssigned is asked once for every partition and decides where delivery starts": async ({
    log,
  }) => {
    const topic = newTopic();
    await appendMany(log, topic, 0, 10);
    await appendMany(log, topic, 1, 10);
    const committed = await collect(log, { topic, group: "reader" });
    committed.commit(1, 2);
    await committed[Symbol.asyncDispose]();
    const asked: number[] = [];
    const consumer = await collect(log, {
      topic,
      group: "reader",
      onAssigned: async (partition) => {
        asked.push(partition);
        return partition === 0 ? 6 : undefined;
      },
    });
    await consumer.take(12);
    const all = Array.from({ length: log.identity.partitionCount }, (_, i) => i);
    assert.deepEqual(
      asked.sort((a, b) => a - b),
      all,
    );
    assert.deepEqual([consumer.of(0)[0]?.offset, consumer.of(1)[0]?.offset], [6, 2]);
  },

  "an offset outside the log rejects consume with LogRangeError; the end itself is inside": async ({
    log,
  }) => {
    const topic = newTopic();
    await appendMany(log, topic, 0, 3);
    for (const offset of [4, -1, 0.5, Number.NaN]) {
      let delivered = 0;
      const consuming = collect(log, {
        topic,
        group: "reader",
        onAssigned: async (partition) => (partition === 0 ? offset : undefined),
        onBatch: async () => {
          delivered += 1;
        },
      });
      await assert.rejects(consuming, LogRangeError, `${offset}`);
      assert.equal(delivered, 0);
    }
    const atEnd = await collect(log, { topic, group: "reader", onAssigned: async () => undefined });
    await atEnd.take(3);
    await atEnd[Symbol.asyncDispose]();
    const next = await collect(log, {
      topic,
      group: "reader",
      onAssigned: async (partition) => (partition === 0 ? 3 : undefined),
    });
    await log.append(topic, 0, text("next"));
    assert.equal(textOf((await next.take(1))[0]), "next");
  },

  "two groups see everything, each with commits of its own": async ({ log }) => {
    const topic = newTopic();
    const one = await collect(log, { topic, group: "one" });
    const two = await collect(log, { topic, group: "two" });
    await appendMany(log, topic, 3, 20);
    await Promise.all([one.take(20), two.take(20)]);
    one.commit(3, 20);
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
    const again = await collect(log, { topic, group: "two" });
    assert.equal((await again.take(20))[0]?.offset, 0);
  },

  "disposing a consumer waits for the running batch and ends delivery": async ({ log }) => {
    const topic = newTopic();
    const started = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    let calls = 0;
    const consumer = await collect(log, {
      topic,
      group: "reader",
      onBatch: async () => {
        calls += 1;
        started.resolve();
        await gate.promise;
      },
    });
    await log.append(topic, 0, text("first"));
    await started.promise;
    await log.append(topic, 0, text("second"));
    let disposed = false;
    const disposing = consumer[Symbol.asyncDispose]().then(() => {
      disposed = true;
    });
    await log.append(topic, 0, text("third"));
    assert.equal(disposed, false);
    gate.resolve();
    await disposing;
    await log.append(topic, 0, text("fourth"));
    assert.equal(calls, 1);
    assert.equal(textOf(consumer.records[0]), "first");
  },

  "disposing a consumer does not wait for the pause after a failure": async ({ log }) => {
    const topic = newTopic();
    const failed = Promise.withResolvers<void>();
    const consumer = await collect(log, {
      topic,
      group: "reader",
      onBatch: async () => {
        failed.resolve();
        throw new Error("planned failure of a handler");
      },
    });
    await log.append(topic, 0, text("poison"));
    await failed.promise;
    await consumer[Symbol.asyncDispose]();
    assert.equal(consumer.records.length, 0);
  },
};
