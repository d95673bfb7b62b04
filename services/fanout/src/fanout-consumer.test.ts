import assert from "node:assert/strict";
import { test } from "node:test";
import type { FanoutBatch } from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import type { ConsumeOptions, Log, LogRecord } from "@parley/platform/log/port";
import { createSilentLogger } from "@parley/platform/telemetry/logger";
import { startFanoutConsumer } from "./fanout-consumer.ts";
import { createTestConversation } from "./testing/test-entries.ts";
import { createTestService, encodeBatch } from "./testing/test-service.ts";

test("what was not finished when the service ended is delivered after the next start", async () => {
  const group = createTestConversation();
  const first = await createTestService();
  const { directory } = first;
  first.registry.down = true;
  await first.append(group.batch(group.created(["ann", "bob"]), group.message("ann")));
  while (first.registry.lookUps === 0) await new Promise((resolve) => setImmediate(resolve));
  await first.stop();

  await using second = await createTestService({ directory, online: { west: ["bob"] } });
  await second.drainLog();
  assert.deepEqual(second.gateway("west").seqsOf("bob"), [1, 2]);
});

test("a record that cannot be decoded is counted and skipped", async () => {
  await using parts = await createTestService();
  const { log, append, registry, gateway, telemetry } = parts;
  registry.online("west", "ann");
  const group = createTestConversation();
  for (let partition = 0; partition < 4; partition++) {
    await log.append("fanout", partition, new Uint8Array([0xff, 0xff, 0xff]));
  }
  await append(group.batch(group.created(["ann"])));
  await parts.drainLog();
  assert.deepEqual(gateway("west").seqsOf("ann"), [1]);
  const metrics = await telemetry.metrics.renderMetrics();
  assert.match(metrics, /parley_fanout_undecodable_records_total 4/);
});

/** A log that hands over what the test gives it, and remembers commits. */
function createHandLog() {
  let options: ConsumeOptions | undefined;
  const commits: number[] = [];
  const log: Pick<Log, "consume"> = {
    async consume(given) {
      options = given;
      return {
        commit: (_partition, nextOffset) => void commits.push(nextOffset),
        [Symbol.asyncDispose]: async () => undefined,
      };
    },
  };
  const deliver = (offset: number, value: Uint8Array) => {
    const record: LogRecord = {
      ...{ topic: "fanout", partition: 0, offset, appendTimeMs: 0, value },
    };
    return options?.onBatch({ topic: "fanout", partition: 0, records: [record] });
  };
  return { log: log as Log, commits, deliver };
}

/** Keeps nothing, and is quick about it. */
const store = {
  readPlace: async () => undefined,
  saveReplayOffset: async () => undefined,
};

test("offsets are committed in order, when everything before is finished", async () => {
  const { log, commits, deliver } = createHandLog();
  const done = new Map<string, PromiseWithResolvers<void>>();
  const dispatcher = {
    dispatch({ conversationId }: FanoutBatch) {
      const deferred = Promise.withResolvers<void>();
      done.set(conversationId, deferred);
      return deferred.promise;
    },
  };
  const metrics = { undecodable: () => undefined };
  await startFanoutConsumer({ log, store, dispatcher, metrics, logger: createSilentLogger() });
  const groups = [0, 1, 2, 3].map(() => createTestConversation());
  for (const [offset, group] of groups.entries()) {
    await deliver(offset, encodeBatch(group.batch(group.created(["ann"]))));
  }
  const [a, b, c, d] = groups.map(({ conversationId }) => done.get(conversationId));
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  b?.resolve();
  await settle();
  assert.deepEqual(commits, []);
  a?.resolve();
  await settle();
  assert.deepEqual(commits, [1, 2]);
  c?.reject(new Error("stopping"));
  d?.resolve();
  await settle();
  assert.deepEqual(commits, [1, 2], "nothing is skipped");
});

test("a partition waits when too much of it is at work", async () => {
  const { log, deliver } = createHandLog();
  const done: PromiseWithResolvers<void>[] = [];
  const dispatcher = {
    dispatch() {
      const deferred = Promise.withResolvers<void>();
      done.push(deferred);
      return deferred.promise;
    },
  };
  const metrics = { undecodable: () => undefined };
  await startFanoutConsumer({ log, store, dispatcher, metrics, logger: createSilentLogger() });
  const group = createTestConversation();
  const value = encodeBatch(group.batch(group.created(["ann"])));
  for (let offset = 0; offset < 4096; offset++) await deliver(offset, value);
  let letIn = false;
  const waiting = deliver(4096, value)?.then(() => {
    letIn = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(letIn, false);
  done[0]?.resolve();
  await waiting;
  assert.equal(letIn, true);
});

test("a partition that waits for room does not hold up the end", async () => {
  const { log, deliver } = createHandLog();
  const dispatcher = { dispatch: () => new Promise<void>(() => undefined) };
  const metrics = { undecodable: () => undefined };
  const parts = { log, store, dispatcher, metrics, logger: createSilentLogger() };
  const consumer = await startFanoutConsumer(parts);
  const group = createTestConversation();
  const large = { ...group.message("ann"), event: new Uint8Array(900_000) };
  const value = encodeBatch(group.batch(large));
  // Nine of these are as many bytes as a partition may have at work.
  for (let offset = 0; offset < 9; offset++) await deliver(offset, value);
  let letIn = false;
  const waiting = deliver(9, value)?.then(() => {
    letIn = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(letIn, false);
  await consumer[Symbol.asyncDispose]();
  await waiting;
});

test("an offset is committed when it is kept beside the inboxes, and not before", async () => {
  const { log, deliver, commits } = createHandLog();
  const kept = Promise.withResolvers<void>();
  const asked: number[] = [];
  const slow = {
    readPlace: async () => undefined,
    saveReplayOffset(_partition: number, offset: number) {
      asked.push(offset);
      return kept.promise;
    },
  };
  const dispatcher = { dispatch: async () => undefined };
  const metrics = { undecodable: () => undefined };
  const parts = { log, store: slow, dispatcher, metrics, logger: createSilentLogger() };
  await startFanoutConsumer(parts);
  const group = createTestConversation();
  await deliver(0, encodeBatch(group.batch(group.created(["ann"]))));
  while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(commits, []);
  kept.resolve();
  while (commits.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(commits, [1]);
});
