/** The log on Kafka: many processes, each owning some partitions. */
import kafkajs, { type Admin, type Kafka, type Producer } from "kafkajs";
import {
  type ConsumeOptions,
  LOG_VALUE_BYTES_MAX,
  type Log,
  type LogConsumer,
  type LogIdentity,
  type LogPosition,
  LogUnavailableError,
  type PartitionRange,
} from "../port.ts";
import { createKafkaAppender, type KafkaAppender } from "./kafka-appender.ts";
import { createKafka, REQUEST_RETRY } from "./kafka-client.ts";
import { startKafkaConsumer } from "./kafka-consumer.ts";
import { bindIdentity } from "./kafka-identity.ts";
import { readRanges } from "./kafka-offsets.ts";
import { createKafkaTopics, type KafkaTopics } from "./kafka-topics.ts";
import { type KafkaLogOptions, type KafkaLogSettings, toSettings } from "./options.ts";

/**
 * Connects to a log on Kafka, or creates it. Each group shares the partitions of a topic among its processes.
 *
 * Rejects with KafkaTopicError when topics are there and are not as the log needs them, with RangeError for
 * options that no log can have, and with the client's own error when no broker answers.
 *
 * Disposing it finishes the batches that are being handled (appends of their handlers succeed), then sends
 * what is waiting, then refuses.
 */
export async function createKafkaLog(options: KafkaLogOptions): Promise<Log> {
  const settings = toSettings(options);
  const kafka = createKafka(settings);
  await using resources = new AsyncDisposableStack();
  const admin = kafka.admin({ retry: REQUEST_RETRY });
  resources.defer(() => admin.disconnect());
  const producer = kafka.producer({
    allowAutoTopicCreation: false,
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    retry: REQUEST_RETRY,
  });
  resources.defer(() => producer.disconnect());
  await Promise.all([admin.connect(), producer.connect()]);
  const identity = await bindIdentity(settings, { kafka, admin, producer });
  const topics = createKafkaTopics(settings, admin);
  return new KafkaLog({ settings, kafka, admin, producer, topics, identity }, resources.move());
}

type Parts = {
  readonly settings: KafkaLogSettings;
  readonly kafka: Kafka;
  readonly admin: Admin;
  readonly producer: Producer;
  readonly topics: KafkaTopics;
  readonly identity: LogIdentity;
};

class KafkaLog implements Log {
  readonly identity: LogIdentity;
  readonly #parts: Parts;
  readonly #appender: KafkaAppender;
  readonly #resources: AsyncDisposableStack;
  readonly #consumers = new Set<LogConsumer>();
  #disposed: Promise<void> | undefined;
  #replaced = false;

  constructor(parts: Parts, resources: AsyncDisposableStack) {
    this.identity = parts.identity;
    this.#parts = parts;
    this.#resources = resources;
    const onReplaced = (message: string) => this.#onReplaced(message);
    this.#appender = createKafkaAppender({ ...parts, onReplaced });
  }

  append(topic: string, partition: number, value: Uint8Array): Promise<LogPosition> {
    const { partitionCount } = this.identity;
    if (!(Number.isSafeInteger(partition) && partition >= 0 && partition < partitionCount)) {
      return Promise.reject(new RangeError(`There is no partition ${partition} in ${topic}.`));
    }
    if (value.byteLength > LOG_VALUE_BYTES_MAX) {
      const text = `A record's value is at most ${LOG_VALUE_BYTES_MAX} bytes, and this one is ${value.byteLength}.`;
      return Promise.reject(new RangeError(text));
    }
    if (this.#replaced) return Promise.reject(new LogUnavailableError("It is another log now."));
    return this.#appender.append(topic, partition, value);
  }

  async range(topic: string, partition: number): Promise<PartitionRange> {
    const { settings, topics, admin } = this.#parts;
    const ranges = await readRanges(settings, admin, await topics.ensure(topic));
    const range = ranges.get(partition);
    if (range === undefined)
      throw new RangeError(`There is no partition ${partition} in ${topic}.`);
    return range;
  }

  async consume(options: ConsumeOptions): Promise<LogConsumer> {
    if (this.#disposed !== undefined) throw new LogUnavailableError("The log is closed.");
    const { settings, kafka, admin, topics } = this.#parts;
    const topicName = await topics.ensure(options.topic);
    const consumer = await startKafkaConsumer({
      settings,
      kafka,
      admin,
      options,
      topicName,
      // A group has one topic: members that want different ones would share out what they do not read.
      groupId: `${settings.prefix}${options.group}.${options.topic}`,
      onReplaced: (message) => this.#onReplaced(message),
    });
    this.#consumers.add(consumer);
    return {
      commit: (partition, nextOffset) => consumer.commit(partition, nextOffset),
      [Symbol.asyncDispose]: async () => {
        await consumer[Symbol.asyncDispose]();
        this.#consumers.delete(consumer);
      },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#close();
    return this.#disposed;
  }

  async #close(): Promise<void> {
    await using _resources = this.#resources;
    await this.#stopConsumers();
    await this.#appender[Symbol.asyncDispose]();
  }

  async #stopConsumers(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer[Symbol.asyncDispose]()));
  }

  #onReplaced(message: string): void {
    if (this.#replaced) return;
    this.#replaced = true;
    this.#parts.settings.onProblem({
      kind: "log-replaced",
      message: `${message} It was recreated or truncated: nothing is taken or delivered any more.`,
    });
    void this.#stopConsumers();
  }
}
