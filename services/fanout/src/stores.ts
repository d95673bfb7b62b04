/** The inbox store on one technology: this process's disk, or Cassandra. */
import type { Health } from "@parley/platform/health";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { FanoutConfig } from "./config.ts";
import { createLmdbInboxStore } from "./embedded/lmdb-inbox-store.ts";
import { createCassandraInboxStore } from "./engine/cassandra-inbox-store.ts";
import type { InboxStore } from "./ports.ts";

type Parts = { readonly log: Logger; readonly health: Health | undefined };

/** Opens it. Rejects when it cannot be had; the error says what to do. */
export async function openStore(config: FanoutConfig, parts: Parts): Promise<InboxStore> {
  const { cassandra, membershipsCachedMax, directory } = config;
  if (cassandra !== undefined) {
    const text = "The inboxes do not take writes. Is Cassandra up?";
    const reporting = reports(parts, text);
    return createCassandraInboxStore({ config: cassandra, membershipsCachedMax, ...reporting });
  }
  const text = "The inboxes cannot be written. Is the disk full?";
  return createLmdbInboxStore({ directory, membershipsCachedMax, ...reports(parts, text) });
}

const COMPONENT = "inbox store";

function reports({ log, health }: Parts, text: string) {
  return {
    onProblem(error: unknown) {
      health?.set(COMPONENT, false, text);
      log.error({ error }, `${text} They wait in memory, and are tried again.`);
    },
    onRecovered() {
      health?.set(COMPONENT, true);
      log.info("The inboxes are written again.");
    },
  };
}
