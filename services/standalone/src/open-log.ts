/** The log on one technology: this process's disk, or Kafka. */
import { readFileSync } from "node:fs";
import { SettingError } from "@parley/platform/config";
import type { Lifecycle } from "@parley/platform/lifecycle";
import { createBatchMetrics } from "@parley/platform/log/embedded/batch-metrics";
import type { SegmentLogTuning } from "@parley/platform/log/embedded/options";
import { createProblemReport } from "@parley/platform/log/embedded/problem-report";
import { createSegmentLog } from "@parley/platform/log/embedded/segment-log";
import type { KafkaConfig } from "@parley/platform/log/engine/kafka-config";
import { createKafkaLog } from "@parley/platform/log/engine/kafka-log";
import { createKafkaProblemReport } from "@parley/platform/log/engine/kafka-problem-report";
import { createLogHealth } from "@parley/platform/log/log-health";
import { createObservedLog } from "@parley/platform/log/observed-log";
import type { Log } from "@parley/platform/log/port";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { StandaloneConfig } from "./config.ts";

type Parts = {
  readonly telemetry: Telemetry;
  readonly lifecycle: Lifecycle;
  /** The embedded log's tuning and files. */
  readonly tuning: Partial<SegmentLogTuning> | undefined;
};

/** Opens it, measured. Rejects when it cannot be had; the error says what to do. */
export async function openLog(config: StandaloneConfig, parts: Parts): Promise<Log> {
  const { telemetry, lifecycle, tuning } = parts;
  const { log, metrics } = telemetry;
  const health = createLogHealth({ health: lifecycle.health });
  const opened =
    config.kafka === undefined
      ? await createSegmentLog({
          ...tuning,
          directory: config.logDirectory,
          partitionCount: config.partitionCount,
          onProblem: createProblemReport({ log, health }),
          onBatchWritten: createBatchMetrics(metrics),
        })
      : await createKafkaLog({
          ...toKafkaOptions(config.kafka),
          clientId: config.split?.advertisedAddress ?? "parley",
          partitionCount: config.partitionCount,
          onProblem: createKafkaProblemReport({ log, health }),
        });
  return createObservedLog(opened, { metrics, health });
}

function toKafkaOptions({ tlsCaFile, credentials, ...others }: KafkaConfig) {
  const tls = tlsCaFile === undefined ? undefined : { ca: readAuthority(tlsCaFile) };
  return { ...others, tls, sasl: credentials };
}

function readAuthority(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const variable = "PARLEY_KAFKA_TLS_CA_FILE";
    throw new SettingError(variable, `${variable} names ${file}, which cannot be read.`, cause);
  }
}
