/** Keeps a client in a consumer group: one that gives up is replaced by another. */
import type { Consumer, EachBatchPayload, Kafka, PartitionAssigner } from "kafkajs";
import { createBackoff } from "../../async/backoff.ts";
import { sleep } from "../../async/sleep.ts";
import { REQUEST_RETRY } from "./kafka-client.ts";
import type { KafkaLogSettings } from "./options.ts";

/** A client, as far as its user moves it. */
export type GroupClient = Pick<Consumer, "seek" | "pause" | "resume" | "commitOffsets">;

export type Membership = AsyncDisposable & {
  /** The client that is in the group now; undefined between two of them. */
  readonly client: GroupClient | undefined;
};

export type MembershipDeps = {
  readonly settings: KafkaLogSettings;
  readonly kafka: Kafka;
  readonly topicName: string;
  readonly groupId: string;
  readonly assigner: PartitionAssigner;
  /** The group gave partitions to this member; called while nothing is fetched. */
  readonly onJoined: (client: GroupClient, memberId: string, partitions: readonly number[]) => void;
  readonly onFetched: (payload: EachBatchPayload) => void;
  /** The client gave up; another one follows. */
  readonly onLost: (error: unknown) => void;
};

/** How long a fetch waits for records; also how long a partition that joins may wait for its first fetch. */
const FETCH_WAIT_MS = 100;
/** Fetched at once of one partition. */
const FETCH_PARTITION_BYTES_MAX = 2 * 1024 * 1024;
/** A member says that it is there, and learns that the group changes, this often per session timeout. */
const HEARTBEATS_PER_SESSION = 10;

/** Joins in the background. Disposing it leaves the group. */
export function createMembership(deps: MembershipDeps): Membership {
  return new RenewedMembership(deps);
}

class RenewedMembership implements Membership {
  readonly #deps: MembershipDeps;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  client: Consumer | undefined;

  constructor(deps: MembershipDeps) {
    this.#deps = deps;
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { settings, onLost } = this.#deps;
    const { signal } = this.#stopping;
    const backoff = createBackoff({
      initialMs: settings.retryPauseMinMs,
      maxMs: settings.retryPauseMaxMs,
    });
    while (!signal.aborted) {
      const sinceMs = settings.clock.monotoneMs();
      const error = await this.#runClient();
      if (signal.aborted) return;
      onLost(error);
      if (settings.clock.monotoneMs() - sinceMs > settings.sessionTimeoutMs) backoff.reset();
      // Rejects only when the membership ends, which the loop sees by itself.
      await sleep(backoff.next(), signal).catch(() => {});
    }
  }

  /** One client, from joining until it gives up; resolves with what it failed at. */
  async #runClient(): Promise<unknown> {
    const { topicName, onJoined, onFetched } = this.#deps;
    const { signal } = this.#stopping;
    const consumer = this.#createConsumer();
    const ended = Promise.withResolvers<unknown>();
    const onAbort = () => ended.resolve(undefined);
    signal.addEventListener("abort", onAbort, { once: true });
    consumer.on(consumer.events.CRASH, ({ payload }) => ended.resolve(payload.error));
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      onJoined(consumer, payload.memberId, payload.memberAssignment[topicName] ?? []);
    });
    this.client = consumer;
    try {
      await consumer.connect();
      await consumer.subscribe({ topic: topicName, fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        eachBatch: async (payload) => onFetched(payload),
      });
      return await ended.promise;
    } catch (error) {
      return error;
    } finally {
      this.client = undefined;
      signal.removeEventListener("abort", onAbort);
      await consumer.disconnect().catch(() => {});
    }
  }

  #createConsumer(): Consumer {
    const { settings, kafka, groupId, assigner } = this.#deps;
    return kafka.consumer({
      groupId,
      sessionTimeout: settings.sessionTimeoutMs,
      rebalanceTimeout: settings.sessionTimeoutMs,
      heartbeatInterval: Math.floor(settings.sessionTimeoutMs / HEARTBEATS_PER_SESSION),
      maxWaitTimeInMs: FETCH_WAIT_MS,
      maxBytesPerPartition: FETCH_PARTITION_BYTES_MAX,
      allowAutoTopicCreation: false,
      partitionAssigners: [assigner],
      // It comes back as a new client, whose state is known.
      retry: { ...REQUEST_RETRY, restartOnFailure: async () => false },
    });
  }
}
