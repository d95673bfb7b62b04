import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createManualClock } from "../clock.ts";
import { createHealth } from "../health.ts";
import { createMetrics, type Metrics } from "../telemetry/metrics.ts";
import { createBatchMetrics } from "./embedded/batch-metrics.ts";
import { createPowerLossFiles } from "./embedded/power-loss.ts";
import { createSegmentLog } from "./embedded/segment-log.ts";
import { openTestLog, TOPIC } from "./embedded/test-log.ts";
import { createLogHealth } from "./log-health.ts";
import { createObservedLog } from "./observed-log.ts";
import { logContract } from "./port.contract.ts";
import { LOG_VALUE_BYTES_MAX, type Log, LogUnavailableError } from "./port.ts";

logContract("an observed log keeps the port's promises", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-observed-log-"));
  const queueBytesMax = 1024 * 1024;
  const open = async () =>
    createObservedLog(
      await createSegmentLog({
        directory,
        partitionCount: 4,
        onProblem: () => {},
        retryPauseMinMs: 1,
        retryPauseMaxMs: 5,
        queueBytesMax,
      }),
      { metrics: createMetrics() },
    );
  let log = await open();
  return {
    log,
    queueBytesMax,
    async reopen() {
      await log[Symbol.asyncDispose]();
      log = await open();
      return log;
    },
    async dispose() {
      await log[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
});

/** The value of one line of the metrics, by its name with labels; undefined if there is none. */
async function read(metrics: Metrics, name: string): Promise<number | undefined> {
  const text = await metrics.renderMetrics();
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

/** A log of which a test replaces a part. */
function passOn(inner: Log): Log {
  return {
    identity: inner.identity,
    append: (topic, partition, value) => inner.append(topic, partition, value),
    consume: (options) => inner.consume(options),
    range: (topic, partition) => inner.range(topic, partition),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

test("appends are timed by topic, and counted while they wait", async () => {
  const metrics = createMetrics();
  await using log = createObservedLog(await openTestLog(createPowerLossFiles()), { metrics });
  const appends = [1, 2, 3].map((bytes) => log.append(TOPIC, 0, Buffer.alloc(bytes)));
  assert.equal(await read(metrics, "parley_log_waiting_appends"), 3);
  assert.equal(await read(metrics, "parley_log_waiting_bytes"), 6);
  await Promise.all(appends);
  assert.equal(await read(metrics, "parley_log_waiting_appends"), 0);
  assert.equal(await read(metrics, "parley_log_waiting_bytes"), 0);
  const count = `parley_log_append_duration_seconds_count{topic="${TOPIC}"}`;
  assert.equal(await read(metrics, count), 3);
  const sum = await read(metrics, `parley_log_append_duration_seconds_sum{topic="${TOPIC}"}`);
  assert.ok(sum !== undefined && sum > 0 && sum < 30, `seconds, not ${sum}`);
});

test("failed appends are counted by kind, and wait no longer", async () => {
  const metrics = createMetrics();
  const files = createPowerLossFiles();
  const segments = await openTestLog(files, { queueBytesMax: 1000 });
  await using log = createObservedLog(segments, { metrics });
  await assert.rejects(log.append(TOPIC, 9, Buffer.from("x")));
  await assert.rejects(log.append(TOPIC, 0, Buffer.alloc(LOG_VALUE_BYTES_MAX + 1)));
  await assert.rejects(log.append(TOPIC, 0, Buffer.alloc(2000)));
  files.failNext("dataSync", new Error("EIO"));
  await assert.rejects(log.append(TOPIC, 0, Buffer.from("lost")));
  const failures = (kind: string) =>
    read(metrics, `parley_log_append_failures_total{topic="${TOPIC}",kind="${kind}"}`);
  assert.equal(await failures("invalid"), 2);
  assert.equal(await failures("overloaded"), 1);
  assert.equal(await failures("unavailable"), 1);
  assert.equal(await read(metrics, "parley_log_waiting_appends"), 0);
  assert.equal(await read(metrics, "parley_log_waiting_bytes"), 0);
});

test("a group is as far behind as it has not handled, from its own checkpoint on", async () => {
  const metrics = createMetrics();
  await using log = createObservedLog(
    await openTestLog(createPowerLossFiles(), { deliveryRecordsMax: 2 }),
    { metrics },
  );
  for (let i = 0; i < 5; i++) await log.append(TOPIC, 0, Buffer.from(`${i}`));
  await log.append(TOPIC, 1, Buffer.from("other"));
  const lag = (group: string) =>
    read(metrics, `parley_log_consumer_lag_records{topic="${TOPIC}",group="${group}"}`);
  assert.equal(await lag("reader"), undefined);

  const [entered, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const finished = Promise.withResolvers<void>();
  let handled = 0;
  let failed = false;
  const consumer = await log.consume({
    topic: TOPIC,
    group: "reader",
    onAssigned: async (partition) => (partition === 0 ? 1 : 0),
    onBatch: async ({ partition, records }) => {
      if (partition !== 0) return;
      entered.resolve();
      await gate.promise;
      if (!failed) {
        failed = true;
        throw new Error("not yet");
      }
      handled += records.length;
      // The figure moves after the handler has returned.
      if (handled === 4) setImmediate(finished.resolve);
    },
  });
  await entered.promise;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await lag("reader"), 4, "offsets 1 to 4 of partition 0, nothing of partition 1");
  gate.resolve();
  await finished.promise;
  assert.equal(await lag("reader"), 0);
  const failures = `parley_log_delivery_failures_total{topic="${TOPIC}",group="reader"}`;
  assert.equal(await read(metrics, failures), 1);
  await consumer[Symbol.asyncDispose]();
  assert.equal(await lag("reader"), undefined, "whoever does not consume is not behind");
});

test("a broker that does not say where a topic ends does not hold the metrics up", async () => {
  const metrics = createMetrics();
  const inner = await openTestLog(createPowerLossFiles());
  const silentLog: Log = {
    ...passOn(inner),
    range: () => Promise.reject(new Error("no broker")),
  };
  await using log = createObservedLog(silentLog, { metrics });
  await log.consume({
    topic: TOPIC,
    group: "reader",
    onAssigned: async () => 0,
    onBatch: async () => {},
  });
  const text = await metrics.renderMetrics();
  assert.match(text, /parley_log_waiting_appends 0/);
  assert.doesNotMatch(text, /parley_log_consumer_lag_records\{/);
});

test("health follows what appends say: gone with a failed one, back with a good one", async () => {
  const health = createHealth();
  const inner = await openTestLog(createPowerLossFiles());
  let reachable = true;
  const broker: Log = {
    ...passOn(inner),
    append: (topic, partition, value) =>
      reachable
        ? inner.append(topic, partition, value)
        : Promise.reject(new LogUnavailableError("no broker answers")),
  };
  await using log = createObservedLog(broker, {
    metrics: createMetrics(),
    health: createLogHealth({ health, clock: createManualClock() }),
  });
  assert.equal(health.get("log")?.serving, true);
  reachable = false;
  await assert.rejects(log.append(TOPIC, 0, Buffer.from("x")), LogUnavailableError);
  assert.match(health.get("log")?.reason ?? "", /no broker answers/);
  reachable = true;
  await log.append(TOPIC, 0, Buffer.from("x"));
  assert.equal(health.get("log")?.serving, true);
});

test("a partition that moved away is no longer this process's lag", async () => {
  const metrics = createMetrics();
  const inner = await openTestLog(createPowerLossFiles());
  let revoke: (partition: number) => Promise<void> = async () => assert.fail("nothing is consumed");
  const broker: Log = {
    ...passOn(inner),
    consume(options) {
      revoke = async (partition) => options.onRevoked?.(partition);
      return inner.consume(options);
    },
  };
  await using log = createObservedLog(broker, { metrics });
  await log.append(TOPIC, 0, Buffer.from("x"));
  const revoked: number[] = [];
  const entered = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  await log.consume({
    topic: TOPIC,
    group: "reader",
    onAssigned: async () => 0,
    onBatch: () => {
      entered.resolve();
      return gate.promise;
    },
    onRevoked: async (partition) => void revoked.push(partition),
  });
  await entered.promise;
  const name = `parley_log_consumer_lag_records{topic="${TOPIC}",group="reader"}`;
  assert.equal(await read(metrics, name), 1);
  await revoke(0);
  assert.equal(await read(metrics, name), 0);
  assert.deepEqual(revoked, [0]);
  gate.resolve();
});

test("the embedded log's batches: records that shared a sync, its bytes and its time", async () => {
  const metrics = createMetrics();
  const written = createBatchMetrics(metrics);
  const directory = await mkdtemp(join(tmpdir(), "parley-batches-"));
  try {
    await using log = await createSegmentLog({
      directory,
      partitionCount: 1,
      onProblem: () => {},
      onBatchWritten: written,
    });
    await Promise.all([1, 2, 3].map(() => log.append(TOPIC, 0, Buffer.alloc(100))));
    await log.append(TOPIC, 0, Buffer.alloc(100));
    assert.equal(await read(metrics, "parley_log_batch_records_sum"), 4);
    assert.equal(await read(metrics, "parley_log_batch_records_count"), 2);
    assert.equal(await read(metrics, "parley_log_sync_duration_seconds_count"), 2);
    const bytes = (await read(metrics, "parley_log_batch_bytes_sum")) ?? 0;
    assert.ok(bytes > 400 && bytes < 1000, `${bytes} bytes`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
