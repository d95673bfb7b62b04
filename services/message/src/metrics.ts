/** What the service counts. */
import type { Metrics } from "@parley/platform/telemetry/metrics";

export type MessageMetrics = ReturnType<typeof createMessageMetrics>;

export function createMessageMetrics(metrics: Metrics) {
  return {
    appended: metrics.counter("parley_message_appended_total", "Records handed to the log.", [
      "kind",
    ]),
    refused: metrics.counter(
      "parley_message_refused_total",
      "Messages and changes that were refused, before the log or by the applier.",
      ["reason"],
    ),
    applied: metrics.counter(
      "parley_message_applied_total",
      "Records that the applier processed, by what became of them.",
      ["outcome"],
    ),
    applyLag: metrics.histogram(
      "parley_message_apply_lag_seconds",
      "From the log's append time to the moment the entry could be read, once per batch.",
    ),
    dispatchLag: metrics.histogram(
      "parley_message_dispatch_lag_seconds",
      "From the moment an entry could be read to fan-out's answer, once per dispatch.",
    ),
    dispatchFailures: metrics.counter(
      "parley_message_dispatch_failures_total",
      "Dispatches that had to be repeated.",
    ),
    cacheLookups: metrics.counter(
      "parley_message_cache_lookups_total",
      "Conversations that the applier looked for in memory.",
      ["result"],
    ),
    storeFailures: metrics.counter(
      "parley_message_store_failures_total",
      "Commits of the store that failed and were tried again.",
    ),
    receipts: metrics.counter("parley_message_receipts_total", "Receipts that moved a position."),
  };
}
