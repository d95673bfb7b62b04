/** A log that is measured, and says how it is: around every adapter, with the same figures. */
import type { Gauge, Metrics } from "../telemetry/metrics.ts";
import type { LogHealth } from "./log-health.ts";
import { createLogMetrics, type LogFigures, type TopicAppends } from "./log-metrics.ts";
import type { ConsumeOptions, Log, LogBatch, LogPosition } from "./port.ts";

export type ObservedLogDependencies = {
  readonly metrics: Metrics;
  readonly health?: LogHealth | undefined;
};

/** Longest wait for a broker's answer when metrics are read; the lag is then left out. */
const LAG_WAIT_MS_MAX = 2000;

/** What one consumer was given, by partition: the first offset that its group has not handled. */
type Followed = {
  readonly topic: string;
  readonly group: string;
  readonly positions: Map<number, number>;
};

/** Wraps a log; disposing it disposes of the log. Appends cost one timestamp and one observation more. */
export function createObservedLog(log: Log, dependencies: ObservedLogDependencies): Log {
  const { health } = dependencies;
  const followed = new Set<Followed>();
  const topics = new Map<string, TopicAppends>();
  let waitingAppends = 0;
  let waitingBytes = 0;
  const metrics = createLogMetrics(dependencies.metrics, {
    waitingAppends: () => waitingAppends,
    waitingBytes: () => waitingBytes,
    collectLag: lagCollector(log, followed),
  });

  const appendsOf = (topic: string): TopicAppends => {
    let appends = topics.get(topic);
    if (appends === undefined) {
      appends = metrics.appendsOf(topic);
      topics.set(topic, appends);
    }
    return appends;
  };

  return {
    identity: log.identity,
    append(topic, partition, value) {
      const appends = appendsOf(topic);
      const bytes = value.byteLength;
      const startMs = performance.now();
      waitingAppends += 1;
      waitingBytes += bytes;
      const settle = () => {
        waitingAppends -= 1;
        waitingBytes -= bytes;
      };
      const appended: Promise<LogPosition> = log.append(topic, partition, value);
      // The caller gets the log's own promise: nobody waits for what is counted.
      appended.then(
        () => {
          settle();
          appends.succeeded(performance.now() - startMs);
          health?.appended();
        },
        (error: unknown) => {
          settle();
          appends.failed(error);
          health?.appendFailed(error);
        },
      );
      return appended;
    },
    async consume(options) {
      const { topic, group } = options;
      const place: Followed = { topic, group, positions: new Map() };
      followed.add(place);
      const onFailure = () => metrics.deliveryFailed(topic, group);
      try {
        const consumer = await log.consume(follow(options, place, { onFailure, health }));
        return {
          commit: (partition, nextOffset) => consumer.commit(partition, nextOffset),
          async [Symbol.asyncDispose]() {
            followed.delete(place);
            await consumer[Symbol.asyncDispose]();
          },
        };
      } catch (error) {
        followed.delete(place);
        throw error;
      }
    },
    range: (topic, partition) => log.range(topic, partition),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  };
}

/** The same consumer, whose place is noted. */
function follow(
  options: ConsumeOptions,
  { positions }: Followed,
  { onFailure, health }: { readonly onFailure: () => void; readonly health: LogHealth | undefined },
): ConsumeOptions {
  const { onAssigned, onBatch, onRevoked } = options;
  return {
    ...options,
    async onAssigned(partition) {
      const start = await onAssigned?.(partition);
      if (start !== undefined) positions.set(partition, start);
      return start;
    },
    async onBatch(batch) {
      const [first, last] = [batch.records[0], batch.records.at(-1)];
      if (first !== undefined) positions.set(batch.partition, first.offset);
      health?.delivered(placeOf(batch));
      try {
        await onBatch(batch);
      } catch (error) {
        onFailure();
        throw error;
      }
      if (last !== undefined) positions.set(batch.partition, last.offset + 1);
    },
    async onRevoked(partition) {
      positions.delete(partition);
      await onRevoked?.(partition);
    },
  };
}

/** A partition as operators read it. */
export function placeOf({ topic, partition }: Pick<LogBatch, "topic" | "partition">): string {
  return `${topic}/${partition}`;
}

/** A group that was given nothing yet stands where it committed, which the port does not tell: it is left out. */
function lagCollector(log: Log, followed: ReadonlySet<Followed>): LogFigures["collectLag"] {
  const read = async () => {
    const sums = new Map<string, { topic: string; group: string; records: number }>();
    for (const { topic, group, positions } of followed) {
      const key = `${topic} ${group}`;
      const sum = sums.get(key) ?? { topic, group, records: 0 };
      sums.set(key, sum);
      await Promise.all(
        [...positions].map(async ([partition, position]) => {
          const { endOffset } = await log.range(topic, partition);
          sum.records += Math.max(0, endOffset - position);
        }),
      );
    }
    return [...sums.values()];
  };
  return async (gauge: Gauge<"topic" | "group">) => {
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => resolve(undefined), LAG_WAIT_MS_MAX);
    const sums = await Promise.race([read().catch(() => undefined), late]);
    clearTimeout(timer);
    gauge.reset();
    for (const { topic, group, records } of sums ?? []) gauge.set({ topic, group }, records);
  };
}
