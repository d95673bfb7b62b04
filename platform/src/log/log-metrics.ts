/** What every log counts, whatever it is made of. */
import type { Gauge, Metrics } from "../telemetry/metrics.ts";
import { LogOverloadedError, LogUnavailableError } from "./port.ts";

/** Why an append failed. `invalid` is a bug of ours: a partition that does not exist, a value too large. */
export type AppendFailureKind = "overloaded" | "unavailable" | "invalid" | "other";

export type LogMetrics = {
  /** The recorder of one topic's appends; asked for once and kept, because appends are many. */
  appendsOf(topic: string): TopicAppends;
  deliveryFailed(topic: string, group: string): void;
};

export type TopicAppends = {
  succeeded(durationMs: number): void;
  failed(error: unknown): void;
};

/** What is read when the metrics are asked for. */
export type LogFigures = {
  readonly waitingAppends: () => number;
  readonly waitingBytes: () => number;
  /** Sets how far each group is behind. */
  readonly collectLag: (gauge: Gauge<"topic" | "group">) => Promise<void>;
};

/** Registers the metrics. `figures` are those of the first log of the process that asks. */
export function createLogMetrics(metrics: Metrics, figures: LogFigures): LogMetrics {
  const duration = metrics.histogram(
    "parley_log_append_duration_seconds",
    "From handing a record to the log to its being durable.",
    ["topic"],
  );
  const failures = metrics.counter(
    "parley_log_append_failures_total",
    "Appends that failed: overloaded, unavailable, invalid, other.",
    ["topic", "kind"],
  );
  const deliveryFailures = metrics.counter(
    "parley_log_delivery_failures_total",
    "Batches that a group failed to handle; they come again.",
    ["topic", "group"],
  );
  metrics.gauge("parley_log_waiting_appends", "Appends without an answer.", [], (gauge) =>
    gauge.set(figures.waitingAppends()),
  );
  metrics.gauge("parley_log_waiting_bytes", "Bytes of values without an answer.", [], (gauge) =>
    gauge.set(figures.waitingBytes()),
  );
  metrics.gauge(
    "parley_log_consumer_lag_records",
    "Records that the partitions of this process hold and the group has not handled yet.",
    ["topic", "group"],
    (gauge) => figures.collectLag(gauge),
  );
  return {
    appendsOf(topic) {
      const observed = duration.labels(topic);
      return {
        succeeded: (durationMs) => observed.observe(durationMs / 1000),
        failed: (error) => failures.inc({ topic, kind: kindOf(error) }),
      };
    },
    deliveryFailed: (topic, group) => deliveryFailures.inc({ topic, group }),
  };
}

function kindOf(error: unknown): AppendFailureKind {
  if (error instanceof LogOverloadedError) return "overloaded";
  if (error instanceof LogUnavailableError) return "unavailable";
  return error instanceof RangeError ? "invalid" : "other";
}
