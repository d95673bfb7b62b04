/** What the contract's cases share; used by `port.contract.ts` only. */
import { randomUUID } from "node:crypto";
import type { ConsumeOptions, Log, LogConsumer, LogRecord } from "./port.ts";

/** An adapter under test. */
export type LogHarness = {
  /** An open log with 4 or more partitions. */
  readonly log: Log;
  /** As many bytes of records may wait; more are refused with LogOverloadedError. At least 64 KiB. */
  readonly queueBytesMax: number;
  /** Disposes the log that is open and opens the same one again. */
  reopen(): Promise<Log>;
  /** Disposes the log that is open and removes what it stored. */
  dispose(): Promise<void>;
};

export type LogCase = (harness: LogHarness) => Promise<void>;

/** A topic that no other case uses. */
export function newTopic(): string {
  return `contract.${randomUUID()}`;
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export function textOf(record: LogRecord | undefined): string {
  return record === undefined ? "(none)" : new TextDecoder().decode(record.value);
}

/** A consumer that keeps what it is given. */
export type Collector = LogConsumer & {
  /** Everything delivered so far, in order of delivery. */
  readonly records: readonly LogRecord[];
  /** What was delivered of one partition. */
  of(partition: number): readonly LogRecord[];
  /** Resolves with all records as soon as there are so many. */
  take(count: number): Promise<readonly LogRecord[]>;
};

type CollectOptions = Omit<ConsumeOptions, "onBatch"> & {
  /** Runs before a batch is kept; a rejection fails the batch. */
  readonly onBatch?: ConsumeOptions["onBatch"];
};

/** Starts a consumer that keeps the records whose handler succeeded. */
export async function collect(log: Log, options: CollectOptions): Promise<Collector> {
  const records: LogRecord[] = [];
  const waiting: { count: number; done: () => void }[] = [];
  const consumer = await log.consume({
    ...options,
    onBatch: async (batch) => {
      await options.onBatch?.(batch);
      records.push(...batch.records);
      for (const waiter of waiting) if (records.length >= waiter.count) waiter.done();
    },
  });
  return {
    records,
    of: (partition) => records.filter((record) => record.partition === partition),
    take: async (count) => {
      if (records.length < count) {
        await new Promise<void>((done) => waiting.push({ count, done }));
      }
      return records;
    },
    commit: (partition, nextOffset) => consumer.commit(partition, nextOffset),
    [Symbol.asyncDispose]: () => consumer[Symbol.asyncDispose](),
  };
}

/** Appends `count` values "0", "1", … to a partition, all at once. */
export async function appendMany(
  log: Log,
  topic: string,
  partition: number,
  count: number,
): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, i) => log.append(topic, partition, text(`${i}`))),
  );
}
