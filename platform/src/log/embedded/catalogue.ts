import { PARTITION_COUNT_MAX } from "./options.ts";
import { createPartitionTail, type PartitionTail } from "./tail.ts";

/** What the log knows besides its records: topics, where their partitions stand, groups and commits. */
export type Catalogue = {
  readonly partitionCount: number;
  readonly topics: ReadonlyMap<string, Topic>;
  readonly subscriptions: ReadonlySet<Subscription>;
  /** The topic of a name; made when it is new. Throws RangeError for a bad name or one too many. */
  topic(name: string): Topic;
  /** The group of a topic; made when it is new. Throws RangeError for a bad name or one too many. */
  subscription(topic: Topic, group: string): Subscription;
  /** Recovery: the topic or subscription that a file gives an id. */
  restoreTopic(id: number, name: string): void;
  restoreSubscription(id: number, topicId: number, group: string): void;
  topicById(id: number): Topic | undefined;
  subscriptionById(id: number): Subscription | undefined;
  /** Removes every subscription of a group. */
  forget(group: string): void;
};

export type Topic = {
  readonly id: number;
  readonly name: string;
  /** Whether the present segment names it. */
  declared: boolean;
  readonly partitions: readonly Partition[];
};

export type Partition = {
  readonly topic: Topic;
  readonly partition: number;
  /** Unique in the log: the partition's name in indexes. */
  readonly key: number;
  /** Oldest record that retention has left. */
  startOffset: number;
  /** After the last record that is on disk: what consumers may see. */
  endOffset: number;
  /** After the last record that was accepted: what the next one gets. */
  nextOffset: number;
  readonly tail: PartitionTail;
  /** Those who wait for records here. */
  readonly followers: Set<Follower>;
};

/** A consumer's place in a partition. */
export type Follower = {
  /** The next offset it needs. */
  readonly position: number;
  /** Called when there are new records. */
  wake(): void;
};

/** A group of a topic. */
export type Subscription = {
  readonly id: number;
  readonly topic: Topic;
  readonly group: string;
  /** Whether the present segment names it. */
  declared: boolean;
  /** Whether a consumer of this process serves it now. */
  active: boolean;
  /** Per partition: everything before this is finished; NOT_COMMITTED before the first commit. */
  readonly committed: number[];
  /** The same, as far as it is on disk. */
  readonly persisted: number[];
  /** Partitions whose committed offset is not yet on disk. */
  readonly dirty: Set<number>;
};

export const NOT_COMMITTED = -1;

/** Ids are 16 bits, and each costs memory per partition: far more than a product's few topics. */
const TOPICS_MAX = 256;
const SUBSCRIPTIONS_MAX = 1024;

/** What Kafka allows a topic's name; groups are held to the same. */
const NAME = /^[A-Za-z0-9._-]{1,249}$/;

export function createCatalogue(partitionCount: number): Catalogue {
  const topics = new Map<string, Topic>();
  const topicsById = new Map<number, Topic>();
  const subscriptions = new Set<Subscription>();
  const subscriptionsById = new Map<number, Subscription>();
  // Ids are never used again, not even after `forget`: the present segment may still name them.
  let nextTopicId = 1;
  let nextSubscriptionId = 1;

  const addTopic = (id: number, name: string): Topic => {
    const topic = createTopic(id, name, partitionCount);
    topics.set(name, topic);
    topicsById.set(id, topic);
    nextTopicId = Math.max(nextTopicId, id + 1);
    return topic;
  };
  const addSubscription = (id: number, topic: Topic, group: string): Subscription => {
    const subscription = createSubscription(id, topic, group, partitionCount);
    subscriptions.add(subscription);
    subscriptionsById.set(id, subscription);
    nextSubscriptionId = Math.max(nextSubscriptionId, id + 1);
    return subscription;
  };

  return {
    partitionCount,
    topics,
    subscriptions,
    topic: (name) => {
      const known = topics.get(name);
      if (known !== undefined) return known;
      checkName("topic", name);
      if (topics.size >= TOPICS_MAX)
        throw new RangeError(`A log has at most ${TOPICS_MAX} topics.`);
      return addTopic(nextTopicId, name);
    },
    subscription: (topic, group) => {
      for (const known of subscriptions) {
        if (known.topic === topic && known.group === group) return known;
      }
      checkName("group", group);
      if (subscriptions.size >= SUBSCRIPTIONS_MAX) {
        throw new RangeError(`A log has at most ${SUBSCRIPTIONS_MAX} groups.`);
      }
      return addSubscription(nextSubscriptionId, topic, group);
    },
    restoreTopic: (id, name) => {
      if (!topicsById.has(id)) addTopic(id, name).declared = true;
    },
    restoreSubscription: (id, topicId, group) => {
      const topic = topicsById.get(topicId);
      if (topic === undefined || subscriptionsById.has(id)) return;
      addSubscription(id, topic, group).declared = true;
    },
    topicById: (id) => topicsById.get(id),
    subscriptionById: (id) => subscriptionsById.get(id),
    forget: (group) => {
      for (const subscription of subscriptions) {
        if (subscription.group !== group) continue;
        subscriptions.delete(subscription);
        subscriptionsById.delete(subscription.id);
      }
    },
  };
}

function createTopic(id: number, name: string, partitionCount: number): Topic {
  const partitions: Partition[] = [];
  const topic: Topic = { id, name, declared: false, partitions };
  for (let partition = 0; partition < partitionCount; partition++) {
    partitions.push({
      topic,
      partition,
      key: partitionKey(id, partition),
      startOffset: 0,
      endOffset: 0,
      nextOffset: 0,
      tail: createPartitionTail(),
      followers: new Set(),
    });
  }
  return topic;
}

function createSubscription(
  id: number,
  topic: Topic,
  group: string,
  partitionCount: number,
): Subscription {
  return {
    id,
    topic,
    group,
    declared: false,
    active: false,
    committed: new Array<number>(partitionCount).fill(NOT_COMMITTED),
    persisted: new Array<number>(partitionCount).fill(NOT_COMMITTED),
    dirty: new Set(),
  };
}

/** One number for a topic's partition. */
export function partitionKey(topicId: number, partition: number): number {
  return topicId * PARTITION_COUNT_MAX + partition;
}

/** A partition by its number. Throws RangeError when the log has no such partition: a bug. */
export function partitionAt(topic: Topic, partition: number): Partition {
  const found = topic.partitions[partition];
  if (found === undefined) {
    throw new RangeError(
      `Partition ${partition} is not one of the ${topic.partitions.length} of ${topic.name}.`,
    );
  }
  return found;
}

function checkName(what: string, name: string): void {
  if (!NAME.test(name)) {
    throw new RangeError(
      `A ${what} is 1 to 249 of A-Z a-z 0-9 . _ -, not ${JSON.stringify(name)}.`,
    );
  }
}
