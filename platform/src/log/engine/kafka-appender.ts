/** Appending: what waits is sent together, one request per partition under way at a time. */
import type { Producer, RecordMetadata } from "kafkajs";
import { LogOverloadedError, type LogPosition, LogUnavailableError } from "../port.ts";
import type { KafkaTopics } from "./kafka-topics.ts";
import type { KafkaLogSettings } from "./options.ts";

export type KafkaAppender = AsyncDisposable & {
  /** As `Log.append`; the partition exists and the value is not too large. */
  append(topic: string, partition: number, value: Uint8Array): Promise<LogPosition>;
};

export type KafkaAppenderDeps = {
  readonly settings: KafkaLogSettings;
  readonly producer: Pick<Producer, "sendBatch">;
  readonly topics: KafkaTopics;
  /** An offset came back that had been given out before: it is another log. */
  readonly onReplaced: (message: string) => void;
};

/** A batch of one partition; brokers refuse more than `max.message.bytes`, their framing included. */
const PARTITION_BATCH_BYTES_MAX = 1_000_000;
const PARTITION_BATCH_RECORDS_MAX = 2000;
/** Requests under way. While they are, what comes collects: the busier, the larger the batches. */
const REQUESTS_MAX = 3;
/** What a record costs besides its value, so that empty records fill the queue too. */
const RECORD_OVERHEAD_BYTES = 100;

export function createKafkaAppender(deps: KafkaAppenderDeps): KafkaAppender {
  return new BatchingAppender(deps);
}

type Waiting = {
  readonly value: Uint8Array;
  readonly resolve: (position: LogPosition) => void;
  readonly reject: (error: Error) => void;
};

type Lane = {
  readonly topic: string;
  readonly partition: number;
  waiting: Waiting[];
  inFlight: boolean;
  /** The end of the partition as this process has seen it. */
  endOffset: number;
};

type Sending = { readonly lane: Lane; readonly items: readonly Waiting[] };

class BatchingAppender implements KafkaAppender {
  readonly #deps: KafkaAppenderDeps;
  readonly #lanes = new Map<string, Lane>();
  readonly #ready = new Set<Lane>();
  #queuedBytes = 0;
  #scheduled = false;
  readonly #requests = new Set<Promise<void>>();
  #closed = false;

  constructor(deps: KafkaAppenderDeps) {
    this.#deps = deps;
  }

  append(topic: string, partition: number, value: Uint8Array): Promise<LogPosition> {
    if (this.#closed) return Promise.reject(new LogUnavailableError("The log is closed."));
    const bytes = value.byteLength + RECORD_OVERHEAD_BYTES;
    if (this.#queuedBytes > 0 && this.#queuedBytes + bytes > this.#deps.settings.queueBytesMax) {
      return Promise.reject(new LogOverloadedError("Too many records wait for the log."));
    }
    this.#queuedBytes += bytes;
    const { promise, resolve, reject } = Promise.withResolvers<LogPosition>();
    const lane = this.#lane(topic, partition);
    lane.waiting.push({ value, resolve, reject });
    if (!lane.inFlight) this.#ready.add(lane);
    this.#schedule();
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    while (this.#requests.size > 0 || this.#ready.size > 0) {
      this.#flush();
      await Promise.race(this.#requests);
    }
  }

  #lane(topic: string, partition: number): Lane {
    const key = `${topic} ${partition}`;
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    const lane: Lane = { topic, partition, waiting: [], inFlight: false, endOffset: 0 };
    this.#lanes.set(key, lane);
    return lane;
  }

  #schedule(): void {
    if (this.#scheduled || this.#requests.size >= REQUESTS_MAX) return;
    this.#scheduled = true;
    // What one turn of the event loop produces travels together.
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#ready.size === 0 || this.#requests.size >= REQUESTS_MAX) return;
    const sendings = [...this.#ready].map(takeBatch);
    this.#ready.clear();
    const request = this.#send(sendings).finally(() => {
      this.#requests.delete(request);
      for (const { lane, items } of sendings) this.#release(lane, items);
      this.#flush();
    });
    this.#requests.add(request);
  }

  #release(lane: Lane, items: readonly Waiting[]): void {
    lane.inFlight = false;
    for (const { value } of items) this.#queuedBytes -= value.byteLength + RECORD_OVERHEAD_BYTES;
    if (lane.waiting.length > 0) this.#ready.add(lane);
  }

  async #send(sendings: readonly Sending[]): Promise<void> {
    const { producer, topics, settings } = this.#deps;
    try {
      const byTopic = Map.groupBy(sendings, ({ lane }) => lane.topic);
      const topicMessages = await Promise.all(
        [...byTopic].map(async ([topic, of]) => ({
          topic: await topics.ensure(topic),
          messages: of.flatMap(({ lane, items }) =>
            items.map(({ value }) => ({ partition: lane.partition, value: toBuffer(value) })),
          ),
        })),
      );
      const acks = -1;
      const timeout = settings.requestTimeoutMs;
      const answers = await producer.sendBatch({ acks, timeout, topicMessages });
      for (const sending of sendings) this.#settle(sending, answers);
    } catch (error) {
      const refusal = new LogUnavailableError("The log did not acknowledge the record.", {
        cause: error,
      });
      for (const { items } of sendings) for (const item of items) item.reject(refusal);
      const count = sendings.reduce((sum, { items }) => sum + items.length, 0);
      const message = `${count} records were not acknowledged; whoever sent them repeats them.`;
      settings.onProblem({ kind: "append-failed", message, error });
    }
  }

  #settle({ lane, items }: Sending, answers: readonly RecordMetadata[]): void {
    const { settings, onReplaced } = this.#deps;
    const name = `${settings.prefix}${lane.topic}`;
    const answer = answers.find(
      ({ topicName, partition }) => topicName === name && partition === lane.partition,
    );
    const offset = Number(answer?.baseOffset ?? Number.NaN);
    const appendTimeMs = Number(answer?.logAppendTime ?? Number.NaN);
    if (!Number.isSafeInteger(offset) || !(appendTimeMs >= 0)) {
      const error = new LogUnavailableError(`The brokers' answer for ${name} says no position.`);
      for (const { reject } of items) reject(error);
      return;
    }
    if (offset < lane.endOffset) {
      const place = `${name}/${lane.partition}`;
      onReplaced(`${place} gave out offset ${offset} again, after ${lane.endOffset - 1}.`);
      const error = new LogUnavailableError(`${place} was recreated or truncated.`);
      for (const { reject } of items) reject(error);
      return;
    }
    lane.endOffset = offset + items.length;
    for (const [i, { resolve }] of items.entries()) {
      resolve({ partition: lane.partition, offset: offset + i, appendTimeMs });
    }
  }
}

/** As much of what waits as fits into one batch of its partition. */
function takeBatch(lane: Lane): Sending {
  let bytes = 0;
  let count = 0;
  for (const { value } of lane.waiting) {
    bytes += value.byteLength + RECORD_OVERHEAD_BYTES;
    if (count > 0 && (bytes > PARTITION_BATCH_BYTES_MAX || count === PARTITION_BATCH_RECORDS_MAX)) {
      break;
    }
    count++;
  }
  lane.inFlight = true;
  return { lane, items: lane.waiting.splice(0, count) };
}

function toBuffer(value: Uint8Array): Buffer {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
