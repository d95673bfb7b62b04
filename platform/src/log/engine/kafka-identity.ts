/**
 * The log's identity: the first record of a topic of its own, which nothing ever deletes. Brokers know clusters
 * and topics, but neither says whether this is the history that the stores were made from.
 */
import { randomUUID } from "node:crypto";
import type { Admin, Kafka, Producer } from "kafkajs";
import { isUuid } from "../../ids.ts";
import { type LogIdentity, LogUnavailableError } from "../port.ts";
import { readRanges } from "./kafka-offsets.ts";
import {
  configEntries,
  createTopic,
  KafkaTopicError,
  settledPartitionCount,
} from "./kafka-topics.ts";
import type { KafkaLogSettings } from "./options.ts";

const TOPIC = "identity";
/** Kafka's word for "for ever". */
const RETENTION_FOREVER_MS = -1;
/** Reading one record; above it the brokers are not to be reached. */
const READ_TIMEOUT_MS = 15_000;
/** The reader asks this often for a record. */
const READ_WAIT_MS = 20;

/**
 * Reads the identity, writing one if the log is new. Two processes that both find it new agree: the record that
 * came first counts. Rejects with KafkaTopicError when the log has another partition count.
 */
export async function bindIdentity(
  settings: KafkaLogSettings,
  { kafka, admin, producer }: { kafka: Kafka; admin: Admin; producer: Producer },
): Promise<LogIdentity> {
  const topic = `${settings.prefix}${TOPIC}`;
  await createTopic(admin, {
    topic,
    numPartitions: 1,
    replicationFactor: settings.replicationFactor,
    configEntries: configEntries(settings, RETENTION_FOREVER_MS),
  });
  await settledPartitionCount(admin, topic, settings);
  const offsets = (await readRanges(settings, admin, topic)).get(0);
  if (offsets === undefined || offsets.endOffset === 0) {
    const { partitionCount } = settings;
    const identity: LogIdentity = { epoch: randomUUID(), partitionCount };
    await producer.send({
      topic,
      acks: -1,
      messages: [{ partition: 0, value: JSON.stringify(identity) }],
    });
  }
  const identity = parse(topic, await readFirst(settings, kafka, topic));
  if (identity.partitionCount !== settings.partitionCount) {
    throw new KafkaTopicError(
      `The log was created with ${identity.partitionCount} partitions, and ${settings.partitionCount} are configured. ` +
        "Keys hash onto the count, so it cannot change: set the count that the log was created with.",
    );
  }
  return identity;
}

async function readFirst(
  { prefix, sessionTimeoutMs, clock }: KafkaLogSettings,
  kafka: Kafka,
  topic: string,
): Promise<string> {
  const groupId = `${prefix}identity-reader-${randomUUID()}`;
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: sessionTimeoutMs,
    maxWaitTimeInMs: READ_WAIT_MS,
  });
  const first = Promise.withResolvers<string>();
  const timer = clock.setTimer(READ_TIMEOUT_MS, () =>
    first.reject(new LogUnavailableError("The log's identity cannot be read.")),
  );
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => first.resolve(message.value?.toString() ?? ""),
    });
    return await first.promise;
  } finally {
    timer.cancel();
    await consumer.disconnect();
  }
}

function parse(topic: string, text: string): LogIdentity {
  const value: unknown = tryParse(text);
  if (
    typeof value === "object" &&
    value !== null &&
    "epoch" in value &&
    "partitionCount" in value
  ) {
    const { epoch, partitionCount } = value;
    if (typeof epoch === "string" && isUuid(epoch) && Number.isSafeInteger(partitionCount)) {
      return { epoch, partitionCount: Number(partitionCount) };
    }
  }
  throw new KafkaTopicError(
    `The first record of topic ${topic} is not a log's identity. Something else writes there: use another prefix.`,
  );
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
