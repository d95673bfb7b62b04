/** What fan-out counts. */
import type { Metrics } from "@parley/platform/telemetry/metrics";

/** Why an event did not reach a person's session. */
export type AbsenceCause =
  /** None was registered. */
  | "no_session"
  /** The gateway had none any more. */
  | "left_gateway"
  /** The gateway did not take the event in time. */
  | "given_up";

export type FanoutMetrics = {
  /** An event on its way to a person's sessions on one gateway: counted once per event and person. */
  delivered(count: number): void;
  absent(cause: AbsenceCause, count: number): void;
  /** From arrival to the queues of the gateways. */
  dispatched(durationMs: number): void;
  /** A record of the log that cannot be decoded and was skipped. */
  undecodable(): void;
};

export type FanoutGauges = {
  /** Deliveries that no gateway has acknowledged yet. */
  queueDepth(): number;
  gateways(): number;
  /** Batches that are not durable or not handed over yet. */
  unfinishedBatches(): number;
};

/** Registers the metrics of this service. */
export function createFanoutMetrics(metrics: Metrics, gauges: FanoutGauges): FanoutMetrics {
  const delivered = metrics.counter(
    "parley_fanout_deliveries_total",
    "Events handed to gateways, once per event, person and gateway.",
  );
  const absent = metrics.counter(
    "parley_fanout_absent_total",
    "People whom a batch of events did not reach live, by cause.",
    ["cause"],
  );
  const latency = metrics.histogram(
    "parley_fanout_dispatch_seconds",
    "Time from a batch's arrival to the queues of the receivers' gateways.",
  );
  const undecodable = metrics.counter(
    "parley_fanout_undecodable_records_total",
    "Records of the log that cannot be decoded and were skipped.",
  );
  const byCause = {
    no_session: absent.labels({ cause: "no_session" }),
    left_gateway: absent.labels({ cause: "left_gateway" }),
    given_up: absent.labels({ cause: "given_up" }),
  };
  metrics.gauge("parley_fanout_queue_deliveries", "Deliveries not yet acknowledged.", [], (gauge) =>
    gauge.set(gauges.queueDepth()),
  );
  metrics.gauge("parley_fanout_gateways", "Gateways with a link.", [], (gauge) =>
    gauge.set(gauges.gateways()),
  );
  metrics.gauge("parley_fanout_unfinished_batches", "Batches at work.", [], (gauge) =>
    gauge.set(gauges.unfinishedBatches()),
  );
  return {
    delivered: (count) => delivered.inc(count),
    absent: (cause, count) => byCause[cause].inc(count),
    dispatched: (durationMs) => latency.observe(durationMs / 1000),
    undecodable: () => undecodable.inc(),
  };
}
