/** A log on the brokers that run for tests, under names of its own. */
import { randomUUID } from "node:crypto";
import kafkajs from "kafkajs";
import type { Log } from "../port.ts";
import { createKafkaLog } from "./kafka-log.ts";
import type { KafkaLogProblem, KafkaLogTuning } from "./options.ts";

/** Where the brokers listen; see `npm run engines`. */
export const TEST_BROKERS: readonly string[] = ["127.0.0.1:19092"];

export type TestLog = {
  readonly prefix: string;
  readonly problems: readonly KafkaLogProblem[];
  /** Opens the log, each time as another process would. */
  open(): Promise<Log>;
  /** Removes the log's topics. */
  remove(): Promise<void>;
};

/** `prefix` opens a log that another process made. */
export function createTestLog(
  tuning: Partial<KafkaLogTuning> & { readonly prefix?: string } = {},
): TestLog {
  const { prefix = `test-${randomUUID().slice(0, 8)}.` } = tuning;
  const problems: KafkaLogProblem[] = [];
  return {
    prefix,
    problems,
    open: () =>
      createKafkaLog({
        brokers: TEST_BROKERS,
        clientId: "test",
        partitionCount: 4,
        replicationFactor: 1,
        minInSyncReplicas: 1,
        onProblem: (problem) => problems.push(problem),
        retryPauseMinMs: 1,
        retryPauseMaxMs: 5,
        ...tuning,
        prefix,
      }),
    remove: () => removeTopics(prefix),
  };
}

async function removeTopics(prefix: string): Promise<void> {
  const kafka = new kafkajs.Kafka({
    brokers: [...TEST_BROKERS],
    logLevel: kafkajs.logLevel.NOTHING,
  });
  const admin = kafka.admin();
  await admin.connect();
  try {
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix));
    if (topics.length > 0) await admin.deleteTopics({ topics });
  } finally {
    await admin.disconnect();
  }
}
