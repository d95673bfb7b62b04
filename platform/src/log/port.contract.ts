/**
 * What every log adapter must do, as tests. Each adapter's own test file calls `logContract` with a way to
 * open an empty log:
 *
 * ```ts
 * logContract("segment log", async () => ({ log, queueBytesMax, reopen, dispose }));
 * ```
 *
 * The cases are here, in `port.contract-delivery.ts` and in `port.contract-catch-up.ts`.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { catchUpCases } from "./port.contract-catch-up.ts";
import { deliveryCases } from "./port.contract-delivery.ts";
import { collect, type LogCase, type LogHarness, newTopic, text } from "./port.contract-harness.ts";
import { LOG_VALUE_BYTES_MAX, LogOverloadedError, LogUnavailableError } from "./port.ts";

export type { LogHarness } from "./port.contract-harness.ts";

/** Registers the contract's tests for an adapter. */
export function logContract(name: string, open: () => Promise<LogHarness>): void {
  describe(`log contract: ${name}`, () => {
    for (const [title, run] of Object.entries({
      ...appendCases,
      ...deliveryCases,
      ...catchUpCases,
    })) {
      test(title, async () => {
        const harness = await open();
        try {
          await run(harness);
        } finally {
          await harness.dispose();
        }
      });
    }
  });
}

const appendCases: Record<string, LogCase> = {
  "offsets are dense from 0 in every partition of every topic": async ({ log }) => {
    const topics = [newTopic(), newTopic()];
    for (const topic of topics) {
      for (const partition of [0, 1]) {
        const appends = [0, 1, 2, 3, 4].map((i) => log.append(topic, partition, text(`${i}`)));
        const positions = await Promise.all(appends);
        assert.deepEqual(
          positions.map((position) => position.offset),
          [0, 1, 2, 3, 4],
        );
        for (const position of positions) assert.equal(position.partition, partition);
        assert.deepEqual(await log.range(topic, partition), { startOffset: 0, endOffset: 5 });
      }
    }
  },

  "a partition that was never written to is empty": async ({ log }) => {
    assert.deepEqual(await log.range(newTopic(), 1), { startOffset: 0, endOffset: 0 });
  },

  "the append time is the log's clock": async ({ log }) => {
    const before = Date.now();
    const { appendTimeMs } = await log.append(newTopic(), 0, text("now"));
    // A broker's clock may differ by some seconds.
    assert.ok(Math.abs(appendTimeMs - before) < 5_000, `${appendTimeMs} is not about ${before}`);
    assert.ok(Number.isSafeInteger(appendTimeMs));
  },

  "an empty value, binary values and the largest value come back as they are": async ({ log }) => {
    const topic = newTopic();
    const values = [
      new Uint8Array(0),
      randomBytes(1000),
      Buffer.alloc(LOG_VALUE_BYTES_MAX, 7),
      text("last"),
    ];
    const consumer = await collect(log, { topic, group: "reader" });
    for (const value of values) await log.append(topic, 0, value);
    const records = await consumer.take(values.length);
    for (const [i, value] of values.entries()) {
      assert.equal(Buffer.compare(records[i]?.value ?? text("missing"), value), 0);
    }
  },

  "a partition that does not exist and a value that is too large are RangeErrors": async ({
    log,
  }) => {
    const { partitionCount } = log.identity;
    await assert.rejects(log.append(newTopic(), partitionCount, text("x")), RangeError);
    await assert.rejects(log.append(newTopic(), -1, text("x")), RangeError);
    await assert.rejects(
      log.append(newTopic(), 0, new Uint8Array(LOG_VALUE_BYTES_MAX + 1)),
      RangeError,
    );
  },

  "what was acknowledged, the identity and the numbering outlive a reopening": async (harness) => {
    const topic = newTopic();
    const { identity } = harness.log;
    const before = [];
    for (let i = 0; i < 20; i++) {
      before.push(await harness.log.append(topic, i % 2, text(`value ${i}`)));
    }
    const log = await harness.reopen();
    assert.deepEqual(log.identity, identity);
    assert.deepEqual(await log.range(topic, 0), { startOffset: 0, endOffset: 10 });
    assert.equal((await log.append(topic, 1, text("after"))).offset, 10);
    const consumer = await collect(log, { topic, group: "reader" });
    await consumer.take(21);
    for (const [i, position] of before.entries()) {
      const record = consumer.of(position.partition)[position.offset];
      assert.equal(record?.appendTimeMs, position.appendTimeMs, "the append time is kept");
      assert.equal(Buffer.from(record?.value ?? []).toString(), `value ${i}`);
    }
  },

  "too much at once is refused without having been written, and later appends work": async ({
    log,
    queueBytesMax,
  }) => {
    const topic = newTopic();
    const value = Buffer.alloc(Math.min(LOG_VALUE_BYTES_MAX, Math.ceil(queueBytesMax / 16)), 1);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 64 }, () => log.append(topic, 0, value)),
    );
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    assert.ok(refused.length > 0, "nothing was refused");
    assert.ok(refused.length < outcomes.length, "everything was refused");
    for (const { reason } of refused) assert.ok(reason instanceof LogOverloadedError, `${reason}`);
    const accepted = outcomes.length - refused.length;
    assert.deepEqual(await log.range(topic, 0), { startOffset: 0, endOffset: accepted });
    assert.equal((await log.append(topic, 0, text("later"))).offset, accepted);
  },

  "disposing while appends are in flight settles each: there after reopening, or refused": async (
    harness,
  ) => {
    const topic = newTopic();
    const appends: Promise<{ offset: number }>[] = [];
    for (let i = 0; i < 50; i++) appends.push(harness.log.append(topic, 0, text(`${i}`)));
    const settled = Promise.allSettled(appends);
    const reopening = harness.reopen();
    const late = harness.log.append(topic, 0, text("late"));
    const lateOutcome = await late.then(
      () => "resolved",
      (error: unknown) => error,
    );
    const outcomes = await settled;
    const log = await reopening;
    const { endOffset } = await log.range(topic, 0);
    const resolved = outcomes.filter((outcome) => outcome.status === "fulfilled");
    for (const { value } of resolved) assert.ok(value.offset < endOffset);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") assert.ok(outcome.reason instanceof LogUnavailableError);
    }
    if (lateOutcome !== "resolved") assert.ok(lateOutcome instanceof LogUnavailableError);
  },

  "a disposed log refuses, and disposing it again does nothing": async (harness) => {
    const { log } = harness;
    await harness.reopen();
    await log[Symbol.asyncDispose]();
    await assert.rejects(log.append(newTopic(), 0, text("x")), LogUnavailableError);
    await assert.rejects(collect(log, { topic: newTopic(), group: "g" }), LogUnavailableError);
  },
};
