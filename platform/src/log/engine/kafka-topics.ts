/** The log's topics on the brokers: made with what the log needs, and checked for it. */
import kafkajs, { type Admin, type ITopicConfig } from "kafkajs";
import { LOG_VALUE_BYTES_MAX, LogUnavailableError } from "../port.ts";
import type { KafkaLogSettings } from "./options.ts";

/** The topic is there, and is not what the log needs. `message` says what to do. */
export class KafkaTopicError extends Error {
  override readonly name = "KafkaTopicError";
}

export type KafkaTopics = {
  /** The topic's name on the brokers, once it is known to be as it must be; made if it is missing. */
  ensure(topic: string): Promise<string>;
};

/** What a batch of one record adds to its value, generously. */
const FRAMING_BYTES = 48_576;

/** How often a topic that has just been made is asked for, until every broker knows it. */
const SETTLE_ATTEMPTS_MAX = 100;
const SETTLE_PAUSE_MS = 50;

export function createKafkaTopics(settings: KafkaLogSettings, admin: Admin): KafkaTopics {
  const ensured = new Map<string, Promise<string>>();
  return {
    ensure(topic) {
      const known = ensured.get(topic);
      if (known !== undefined) return known;
      const ensuring = ensureTopic(settings, admin, `${settings.prefix}${topic}`);
      ensured.set(topic, ensuring);
      ensuring.catch(() => ensured.delete(topic));
      return ensuring;
    },
  };
}

async function ensureTopic(
  settings: KafkaLogSettings,
  admin: Admin,
  name: string,
): Promise<string> {
  await createTopic(admin, {
    topic: name,
    numPartitions: settings.partitionCount,
    replicationFactor: settings.replicationFactor,
    configEntries: configEntries(settings, settings.retentionMs),
  });
  const count = await settledPartitionCount(admin, name, settings);
  if (count !== settings.partitionCount) {
    throw new KafkaTopicError(
      `Topic ${name} has ${count} partitions and the log ${settings.partitionCount}. Keys hash onto the count, so it ` +
        "cannot change: set the count that the log was created with, or use another prefix for a new log.",
    );
  }
  await checkConfig(admin, name);
  return name;
}

/** Makes a topic unless it is there already, also when several processes do so at once. */
export async function createTopic(admin: Admin, topic: ITopicConfig): Promise<void> {
  const { topics: known } = await admin.fetchTopicMetadata().catch(() => ({ topics: [] }));
  if (known.some(({ name }) => name === topic.topic)) return;
  await admin.createTopics({ topics: [topic], waitForLeaders: true });
}

export function configEntries(
  settings: KafkaLogSettings,
  retentionMs: number,
): { name: string; value: string }[] {
  return [
    // One clock for all readers; the one of whoever appended would differ by sender.
    { name: "message.timestamp.type", value: "LogAppendTime" },
    { name: "cleanup.policy", value: "delete" },
    { name: "retention.ms", value: `${retentionMs}` },
    { name: "min.insync.replicas", value: `${settings.minInSyncReplicas}` },
    // A copy that lags would take acknowledged records with it if it became the leader.
    { name: "unclean.leader.election.enable", value: "false" },
    { name: "max.message.bytes", value: `${LOG_VALUE_BYTES_MAX + FRAMING_BYTES}` },
  ];
}

/** The number of a topic's partitions, as soon as each has a leader. */
export async function settledPartitionCount(
  admin: Admin,
  name: string,
  { clock }: KafkaLogSettings,
): Promise<number> {
  for (let attempt = 0; attempt < SETTLE_ATTEMPTS_MAX; attempt++) {
    const { topics } = await admin.fetchTopicMetadata({ topics: [name] });
    const partitions = topics[0]?.partitions ?? [];
    if (partitions.length > 0 && partitions.every(({ leader }) => leader >= 0)) {
      return partitions.length;
    }
    await new Promise<void>((resolve) => clock.setTimer(SETTLE_PAUSE_MS, resolve));
  }
  throw new LogUnavailableError(`Topic ${name} has partitions without a leader.`);
}

/** Settings without which the log would break a promise; an operator may have made the topic by hand. */
async function checkConfig(admin: Admin, name: string): Promise<void> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name }],
  });
  const entries = resources[0]?.configEntries ?? [];
  const configOf = (key: string) =>
    entries.find(({ configName }) => configName === key)?.configValue;
  for (const [key, wanted] of [
    ["message.timestamp.type", "LogAppendTime"],
    ["cleanup.policy", "delete"],
    ["unclean.leader.election.enable", "false"],
  ] as const) {
    const value = configOf(key);
    if (value === wanted) continue;
    throw new KafkaTopicError(
      `Topic ${name} has ${key}=${value}, and the log needs ${key}=${wanted}. Set it with kafka-configs.sh.`,
    );
  }
  const bytesMax = Number(configOf("max.message.bytes"));
  if (bytesMax >= LOG_VALUE_BYTES_MAX + FRAMING_BYTES) return;
  throw new KafkaTopicError(
    `Topic ${name} takes ${bytesMax} bytes in a batch, and the log needs max.message.bytes=` +
      `${LOG_VALUE_BYTES_MAX + FRAMING_BYTES}. Set it with kafka-configs.sh.`,
  );
}
