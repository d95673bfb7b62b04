/** The message store on one technology: this process's disk, or Cassandra. */
import type { Health } from "@parley/platform/health";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { MessageConfig } from "./config.ts";
import { createLmdbMessageStore } from "./embedded/lmdb-message-store.ts";
import { createCassandraMessageStore } from "./engine/cassandra-message-store.ts";
import type { MessageMetrics } from "./metrics.ts";
import type { MessageStore } from "./ports.ts";

type Parts = {
  readonly telemetry: Telemetry;
  readonly health: Health | undefined;
  readonly metrics: Pick<MessageMetrics, "storeFailures">;
};

/** Opens it. Rejects when it cannot be had; the error says what to do. */
export function openStore(config: MessageConfig, parts: Parts): Promise<MessageStore> {
  const { cassandra, dedupeKeptMs } = config;
  if (cassandra !== undefined) {
    const text = "The message store does not take writes. Is Cassandra up?";
    return createCassandraMessageStore({
      config: cassandra,
      dedupeKeptMs,
      ...reports(parts, text),
    });
  }
  const text = "The message store cannot be written. Is the disk full?";
  return createLmdbMessageStore({ directory: config.storeDirectory, ...reports(parts, text) });
}

const COMPONENT = "message store";

function reports({ telemetry, health, metrics }: Parts, text: string) {
  return {
    onProblem(error: unknown, attempt: number) {
      metrics.storeFailures.inc();
      if (attempt > 1) return;
      health?.set(COMPONENT, false, text);
      telemetry.log.error({ error }, `${text} Its commits wait in memory, and are tried again.`);
    },
    onRecovered() {
      health?.set(COMPONENT, true);
      telemetry.log.info("The message store is written again.");
    },
  };
}
