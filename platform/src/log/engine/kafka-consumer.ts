/** One consumer: which partitions are here, and where each of them stands. */
import type { Admin, EachBatchPayload, Kafka } from "kafkajs";
import { createBackoff } from "../../async/backoff.ts";
import { sleep } from "../../async/sleep.ts";
import { type ConsumeOptions, type LogConsumer, LogRangeError, type LogRecord } from "../port.ts";
import { createStickyAssigner } from "./kafka-assigner.ts";
import { createKafkaCommits, type KafkaCommits } from "./kafka-commits.ts";
import { createKafkaLane, type KafkaLane } from "./kafka-lane.ts";
import { createMembership, type GroupClient, type Membership } from "./kafka-membership.ts";
import { findStart, type PartitionOffsets, readOffsets, readRanges } from "./kafka-offsets.ts";
import type { KafkaLogSettings } from "./options.ts";

export type KafkaConsumerDeps = {
  readonly settings: KafkaLogSettings;
  readonly kafka: Kafka;
  readonly admin: Admin;
  readonly options: ConsumeOptions;
  /** The topic's and the group's name on the brokers. */
  readonly topicName: string;
  readonly groupId: string;
  /** What the log holds does not fit to what was consumed: it is another log. */
  readonly onReplaced: (message: string) => void;
};

/** Starts a consumer; resolves when the first partitions are assigned and located, see `Log.consume`. */
export async function startKafkaConsumer(deps: KafkaConsumerDeps): Promise<LogConsumer> {
  const consumer = new GroupConsumer(deps);
  try {
    await consumer.located;
    return consumer;
  } catch (error) {
    await consumer[Symbol.asyncDispose]();
    throw error;
  }
}

/** A partition that is this consumer's. */
type Assigned = {
  readonly partition: number;
  readonly revoked: AbortController;
  /** Undefined until it is known where delivery starts. */
  lane: KafkaLane | undefined;
  /** The end as far as it is known; nothing beyond it can be committed. */
  endOffset: number;
};

class GroupConsumer implements LogConsumer {
  readonly #deps: KafkaConsumerDeps;
  readonly #membership: Membership;
  readonly #commits: KafkaCommits;
  readonly #assigned = new Map<number, Assigned>();
  readonly #located = Promise.withResolvers<void>();
  readonly #stopping = new AbortController();
  #startedUp = false;
  #memberId = "";
  /** Changes of the assignment, one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #disposed: Promise<void> | undefined;

  constructor(deps: KafkaConsumerDeps) {
    this.#deps = deps;
    const { settings, kafka, topicName, groupId, options } = deps;
    const owned = () => [...this.#assigned.keys()];
    this.#membership = createMembership({
      settings,
      kafka,
      topicName,
      groupId,
      assigner: createStickyAssigner(topicName, settings.partitionCount, owned),
      onJoined: (client, memberId, partitions) => this.#onJoined(client, memberId, partitions),
      onFetched: (payload) => this.#onFetched(payload),
      onLost: (error) => this.#onLost(error),
    });
    this.#commits = createKafkaCommits({
      settings,
      client: () => this.#membership.client,
      topicName,
      group: options.group,
    });
  }

  get located(): Promise<void> {
    return this.#located.promise;
  }

  commit(partition: number, nextOffset: number): void {
    if (this.#stopping.signal.aborted) return;
    const { settings, topicName } = this.#deps;
    const assigned = this.#assigned.get(partition);
    const end = assigned?.endOffset ?? Number.POSITIVE_INFINITY;
    const exists = partition >= 0 && partition < settings.partitionCount;
    if (!exists || !Number.isSafeInteger(nextOffset) || nextOffset < 0 || nextOffset > end) {
      throw new RangeError(
        `Offset ${nextOffset} of ${topicName}/${partition} cannot be committed: it ends at ${end}.`,
      );
    }
    if (assigned !== undefined) this.#commits.note(partition, nextOffset);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#close();
    return this.#disposed;
  }

  async #close(): Promise<void> {
    this.#stopping.abort();
    for (const { revoked } of this.#assigned.values()) revoked.abort();
    await this.#turn;
    await Promise.all([...this.#assigned.values()].map(({ lane }) => lane?.stop()));
    await this.#commits.close();
    await this.#membership[Symbol.asyncDispose]();
  }

  /**
   * A member that kept its id kept its partitions: had it missed a change, the group would have given it
   * another. With another id somebody else may have had them meanwhile.
   */
  #onJoined(client: GroupClient, memberId: string, partitions: readonly number[]): void {
    const { topicName: topic } = this.#deps;
    const kept = memberId === this.#memberId;
    this.#memberId = memberId;
    for (const partition of partitions) {
      const lane = kept ? this.#assigned.get(partition)?.lane : undefined;
      // The client would go on from the last commit; this consumer goes on from what it was given.
      if (lane !== undefined) seek(client, topic, partition, lane.nextFetchOffset);
      else client.pause([{ topic, partitions: [partition] }]);
    }
    this.#change(partitions, kept).then(
      () => {
        this.#startedUp = true;
        this.#located.resolve();
      },
      (error: unknown) => this.#located.reject(error),
    );
  }

  #onLost(error: unknown): void {
    const { settings, options, topicName } = this.#deps;
    const { topic, group } = options;
    const message = `Group ${group} lost its connection to ${topicName}; it joins again.`;
    settings.onProblem({ kind: "consumer-lost", message, error, topic, group });
    void this.#change([], false);
  }

  #change(partitions: readonly number[], kept: boolean): Promise<void> {
    const keeps = new Set(kept ? partitions : []);
    const lost = [...this.#assigned.values()].filter(({ partition }) => !keeps.has(partition));
    for (const { partition, revoked } of lost) {
      revoked.abort();
      this.#assigned.delete(partition);
      this.#commits.forget(partition);
    }
    const gained = partitions
      .filter((partition) => !this.#assigned.has(partition))
      .map((partition) => ({
        partition,
        revoked: new AbortController(),
        lane: undefined,
        endOffset: 0,
      }));
    for (const assigned of gained) this.#assigned.set(assigned.partition, assigned);
    const changed = this.#turn.then(async () => {
      await Promise.all(lost.map((assigned) => this.#release(assigned)));
      await this.#locateAll(gained);
    });
    this.#turn = changed.catch(() => {});
    return changed;
  }

  async #release({ partition, lane }: Assigned): Promise<void> {
    const { settings, options } = this.#deps;
    await lane?.stop();
    try {
      await options.onRevoked?.(partition);
    } catch (error) {
      const { topic, group } = options;
      const message = `Group ${group} could not give up ${topic}/${partition} in order.`;
      settings.onProblem({ kind: "assign-failed", message, error, topic, group, partition });
    }
  }

  /** Finds out where each begins. The first time a failure is the caller's; later it is tried again. */
  async #locateAll(gained: readonly Assigned[]): Promise<void> {
    const { admin, topicName, groupId, settings, options } = this.#deps;
    const backoff = createBackoff({
      initialMs: settings.retryPauseMinMs,
      maxMs: settings.retryPauseMaxMs,
    });
    const missing = () =>
      gained.filter((of) => of.lane === undefined && !of.revoked.signal.aborted);
    while (missing().length > 0 && !this.#stopping.signal.aborted) {
      try {
        const offsets = await readOffsets(settings, admin, topicName, groupId);
        await Promise.all(missing().map((assigned) => this.#locate(assigned, offsets)));
      } catch (error) {
        if (!this.#startedUp) throw error;
        const { topic, group } = options;
        if (error instanceof LogRangeError) {
          this.#deps.onReplaced(error.message);
          throw error;
        }
        const message = `Group ${group} cannot take over partitions of ${topicName}; it tries again.`;
        settings.onProblem({ kind: "assign-failed", message, error, topic, group });
        await sleep(backoff.next(), this.#stopping.signal).catch(() => {});
      }
    }
  }

  async #locate(assigned: Assigned, offsets: ReadonlyMap<number, PartitionOffsets>): Promise<void> {
    const { settings, options, topicName } = this.#deps;
    const { partition, revoked } = assigned;
    const known = offsets.get(partition);
    if (known === undefined) throw new LogRangeError(`${topicName}/${partition} does not exist.`);
    const asked = await options.onAssigned?.(partition);
    const start = findStart({ group: options.group, topicName, partition }, known, asked);
    if (revoked.signal.aborted) return;
    assigned.endOffset = known.endOffset;
    const onDrained = () => this.#resume(partition, assigned.lane);
    assigned.lane = createKafkaLane({ settings, options, partition, onDrained }, start);
    this.#resume(partition, assigned.lane);
  }

  /** Fetching goes on where the lane ends. Between two clients the next one does it when it joins. */
  #resume(partition: number, lane: KafkaLane | undefined): void {
    const { client } = this.#membership;
    if (client === undefined || lane === undefined || this.#stopping.signal.aborted) return;
    const { topicName: topic } = this.#deps;
    seek(client, topic, partition, lane.nextFetchOffset);
    client.resume([{ topic, partitions: [partition] }]);
  }

  #onFetched({ batch, resolveOffset }: EachBatchPayload): void {
    const { options, topicName: topic } = this.#deps;
    const { partition } = batch;
    const assigned = this.#assigned.get(partition);
    const { lane } = assigned ?? {};
    if (assigned === undefined || lane === undefined) return;
    const records = batch.messages.map(
      ({ offset, timestamp, value }): LogRecord => ({
        topic: options.topic,
        partition,
        offset: Number(offset),
        appendTimeMs: Number(timestamp),
        value: value ?? EMPTY,
      }),
    );
    const wentBack =
      lane.offer(records) === "gap" || Number(batch.highWatermark) < assigned.endOffset;
    if (wentBack) {
      void this.#checkRange(assigned, lane);
      return;
    }
    assigned.endOffset = Math.max(assigned.endOffset, Number(batch.highWatermark));
    resolveOffset(batch.lastOffset());
    if (lane.full) this.#membership.client?.pause([{ topic, partitions: [partition] }]);
  }

  /** Records are missing, or the end moved back: either fetching was interrupted, or it is another log. */
  async #checkRange(assigned: Assigned, lane: KafkaLane): Promise<void> {
    const { settings, admin, topicName, onReplaced } = this.#deps;
    const { partition } = assigned;
    const ranges = await readRanges(settings, admin, topicName).catch(() => undefined);
    const range = ranges?.get(partition);
    if (this.#assigned.get(partition) !== assigned) return;
    const next = lane.nextFetchOffset;
    if (range !== undefined && (next < range.startOffset || range.endOffset < assigned.endOffset)) {
      const held = `${range.startOffset} to ${range.endOffset}`;
      const was = `had offsets up to ${assigned.endOffset} and was read up to ${next}`;
      onReplaced(`${topicName}/${partition} ${was}, and now holds ${held}.`);
      return;
    }
    this.#resume(partition, lane);
  }
}

const EMPTY = new Uint8Array(0);

function seek(client: GroupClient, topic: string, partition: number, offset: number): void {
  client.seek({ topic, partition, offset: `${offset}` });
}
