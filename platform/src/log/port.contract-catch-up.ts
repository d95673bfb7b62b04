/** The property of the log contract about catching up; used by `port.contract.ts` only. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Collector,
  collect,
  type LogCase,
  newTopic,
  text,
  textOf,
} from "./port.contract-harness.ts";
import type { Log } from "./port.ts";

export const catchUpCases: Record<string, LogCase> = {
  "consumers that start, stop and fall behind at random see every record once and in order":
    async ({ log }) => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
          await runSteps(log, steps);
        }),
        { numRuns: 25 },
      );
    },
};

/** One step of the property test: append some, or stop the consumer and start it from its checkpoint. */
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ append: fc.integer({ min: 1, max: 30 }), await: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.constant("restart" as const) },
  { weight: 1, arbitrary: fc.constant("stop" as const) },
);

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

async function runSteps(log: Log, steps: readonly Step[]): Promise<void> {
  const topic = newTopic();
  const partitions = 3;
  const next = new Array<number>(partitions).fill(0);
  const delivered: string[][] = Array.from({ length: partitions }, () => []);
  let consumer: Collector | undefined;
  const start = (): Promise<Collector> =>
    collect(log, {
      topic,
      group: "reader",
      onAssigned: async (partition) => delivered[partition]?.length ?? 0,
      onBatch: async ({ partition, records }) => {
        // A store's checkpoint: what it has applied.
        delivered[partition]?.push(...records.map(textOf));
      },
    });
  const appends: Promise<unknown>[] = [];
  for (const current of steps) {
    if (typeof current === "object") {
      for (let i = 0; i < current.append; i++) {
        const partition = i % partitions;
        const value = text(`${partition}:${next[partition]}`);
        next[partition] = (next[partition] ?? 0) + 1;
        appends.push(log.append(topic, partition, value));
      }
      if (current.await) await appends.at(-1);
    } else {
      await consumer?.[Symbol.asyncDispose]();
      consumer = current === "restart" ? await start() : undefined;
    }
  }
  await Promise.all(appends);
  await consumer?.[Symbol.asyncDispose]();
  const left = appends.length - delivered.flat().length;
  consumer = await start();
  await consumer.take(left);
  await consumer[Symbol.asyncDispose]();
  for (const [partition, values] of delivered.entries()) {
    const expected = Array.from({ length: next[partition] ?? 0 }, (_, i) => `${partition}:${i}`);
    assert.deepEqual(values, expected);
  }
}
