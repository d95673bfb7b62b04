/** Several processes on one log: each test opens the log once per process. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { execPath } from "node:process";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import kafkajs from "kafkajs";
import { type Collector, collect, text, textOf } from "../port.contract-harness.ts";
import { type Log, LogUnavailableError } from "../port.ts";
import { createKafkaLog } from "./kafka-log.ts";
import { KafkaTopicError } from "./kafka-topics.ts";
import { createTestLog, TEST_BROKERS, type TestLog } from "./test-log.ts";

const CHILD = new URL("./group-child.ts", import.meta.url).pathname;
const PARTITIONS = [0, 1, 2, 3] as const;

describe("kafka log, several processes", () => {
  test("all of them are the same log, also when they open it at once", async () => {
    await using logs = await open(3);
    const epochs = new Set(logs.all.map(({ identity }) => identity.epoch));
    assert.equal(epochs.size, 1);
  });

  test("a group shares the partitions; who leaves hands over, and nobody else's move", async () => {
    await using logs = await open(2);
    const [one, two] = logs.all as [Log, Log];
    const revoked: number[] = [];
    const assigned: number[] = [];
    const first = await collect(one, {
      ...group,
      onRevoked: async (partition) => void revoked.push(partition),
    });
    const second = await collect(two, {
      ...group,
      onAssigned: async (partition) => {
        assigned.push(partition);
        return undefined;
      },
    });
    await until(() => revoked.length === 2, "two partitions moved");
    assert.deepEqual(revoked.toSorted(), assigned.toSorted());
    await appendRound(two, "a");
    await until(() => first.records.length + second.records.length === 4, "all arrived");
    for (const partition of revoked) assert.equal(first.of(partition).length, 0);
    commitAll(second, assigned, 1);
    await second[Symbol.asyncDispose]();
    await appendRound(one, "b");
    await until(() => first.records.length === 2 + 4, "the first took over");
    for (const partition of revoked) {
      assert.deepEqual(first.of(partition).map(textOf), [`b${partition}`]);
    }
  });

  test("a process that is gone without a word loses its partitions within its session", async () => {
    await using logs = await open(2, { sessionTimeoutMs: 6000 });
    const [one, two] = logs.all as [Log, Log];
    const kept = await collect(one, group);
    const child = await startChild(logs.testLog, 2);
    await child.kill();
    await appendRound(two, "x");
    await until(() => kept.records.length === 4, "everything arrived at the one that is left");
  });

  test("another number of partitions is refused by whoever asks for it", async () => {
    await using logs = await open(1);
    const { prefix } = logs.testLog;
    const asking = createKafkaLog({
      brokers: TEST_BROKERS,
      clientId: "test",
      prefix,
      partitionCount: 5,
      replicationFactor: 1,
      minInSyncReplicas: 1,
      onProblem: () => {},
    });
    await assert.rejects(asking, (error: unknown) => {
      assert.ok(error instanceof KafkaTopicError);
      assert.match(error.message, /created with 4 partitions, and 5 are configured/);
      return true;
    });
  });

  test("a topic with the senders' clocks is refused", async () => {
    await using logs = await open(1);
    const { prefix } = logs.testLog;
    await withAdmin((admin) =>
      admin.createTopics({
        topics: [{ topic: `${prefix}chat`, numPartitions: 4, replicationFactor: 1 }],
        waitForLeaders: true,
      }),
    );
    const [log] = logs.all as [Log];
    await assert.rejects(log.range("chat", 0), /needs message.timestamp.type=LogAppendTime/);
  });

  test("a topic that is recreated is noticed: nothing is taken or delivered any more", async () => {
    await using logs = await open(1);
    const [log] = logs.all as [Log];
    const consumer = await collect(log, group);
    for (let i = 0; i < 3; i++) await appendRound(log, `${i}`);
    await consumer.take(12);
    const topic = `${logs.testLog.prefix}${group.topic}`;
    await withAdmin(async (admin) => {
      await admin.deleteTopics({ topics: [topic] });
      await until(async () => !(await admin.listTopics()).includes(topic), "it was deleted");
      await admin.createTopics({
        topics: [{ topic, numPartitions: 4, replicationFactor: 1, configEntries: LIKE_OURS }],
        waitForLeaders: true,
      });
    });
    // The consumer finds out by itself, or the next record does.
    await log.append(group.topic, 0, text("new")).catch(() => {});
    const replaced = () => logs.testLog.problems.some(({ kind }) => kind === "log-replaced");
    await until(replaced, "it was noticed");
    await assert.rejects(log.append(group.topic, 1, text("later")), LogUnavailableError);
    assert.equal(consumer.records.length, 12);
  });
});

const group = { topic: "chat", group: "readers" };

const LIKE_OURS = [{ name: "message.timestamp.type", value: "LogAppendTime" }];

async function open(count: number, tuning: { sessionTimeoutMs?: number } = {}) {
  const testLog = createTestLog({ commitDelayMs: 1, ...tuning });
  const all = await Promise.all(Array.from({ length: count }, () => testLog.open()));
  return {
    testLog,
    all,
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((log) => log[Symbol.asyncDispose]()));
      await testLog.remove();
    },
  };
}

async function appendRound(log: Log, name: string): Promise<void> {
  for (const partition of PARTITIONS) {
    await log.append(group.topic, partition, text(`${name}${partition}`));
  }
}

function commitAll(consumer: Collector, partitions: readonly number[], offset: number): void {
  for (const partition of partitions) consumer.commit(partition, offset);
}

/** A process in the group that can be killed; resolves when it has so many partitions. */
async function startChild({ prefix }: TestLog, partitionCount: number) {
  const args = [CHILD, prefix, group.topic, group.group];
  const child = spawn(execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  for (let i = 0; i < partitionCount; i++) await lines.next();
  return {
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

async function withAdmin(run: (admin: kafkajs.Admin) => Promise<unknown>): Promise<void> {
  const kafka = new kafkajs.Kafka({
    brokers: [...TEST_BROKERS],
    logLevel: kafkajs.logLevel.NOTHING,
  });
  const admin = kafka.admin();
  await admin.connect();
  await run(admin).finally(() => admin.disconnect());
}

const UNTIL_TRIES_MAX = 1000;
const UNTIL_PAUSE_MS = 20;

/** Brokers tell nobody when a group has settled; it is asked for. */
async function until(done: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < UNTIL_TRIES_MAX; i++) {
    if (await done()) return;
    await new Promise((resolve) => setTimeout(resolve, UNTIL_PAUSE_MS));
  }
  assert.fail(`Not in time: ${what}.`);
}
