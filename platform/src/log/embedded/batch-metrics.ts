/** What only a log with a disk of its own counts: a broker's batches and syncs are the broker's. */
import type { Metrics } from "../../telemetry/metrics.ts";
import type { WrittenBatch } from "./options.ts";

/** From one record (nobody else waits) to the largest batches of a busy log. */
const RECORDS_BUCKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000];
/** From one short message to the largest batch and the record that takes it beyond. */
const BYTES_BUCKETS = [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 2_097_152];
/** From memory (0.05 ms) over an SSD to a disk that somebody should look at. */
const SYNC_BUCKETS_SECONDS = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5,
];

/** Registers the metrics and returns what a log's `onBatchWritten` takes. */
export function createBatchMetrics(metrics: Metrics): (batch: WrittenBatch) => void {
  const sync = metrics.histogram(
    "parley_log_sync_duration_seconds",
    "Time of one sync of the embedded log to disk.",
    [],
    SYNC_BUCKETS_SECONDS,
  );
  const records = metrics.histogram(
    "parley_log_batch_records",
    "Records that shared one sync of the embedded log.",
    [],
    RECORDS_BUCKETS,
  );
  const bytes = metrics.histogram(
    "parley_log_batch_bytes",
    "Bytes that one sync of the embedded log made durable.",
    [],
    BYTES_BUCKETS,
  );
  return (batch) => {
    sync.observe(batch.syncMs / 1000);
    bytes.observe(batch.bytes);
    if (batch.records > 0) records.observe(batch.records);
  };
}
