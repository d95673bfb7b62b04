import { type Catalogue, NOT_COMMITTED, type Partition } from "./catalogue.ts";
import type { SegmentLogSettings } from "./options.ts";
import type { Segments } from "./segments.ts";

export type Retention = {
  /** Deletes what may go now; a call during another one shares it. Never rejects: it reports. */
  run(): Promise<void>;
};

/**
 * Deletes the oldest segments once all their records are older than the retention time *and* every known
 * group of their topic has committed them. Whole segments only, so records live somewhat longer; a group
 * that never commits keeps its topic's records for ever.
 */
export function createRetention(
  settings: SegmentLogSettings,
  catalogue: Catalogue,
  segments: Segments,
): Retention {
  const { files, directory, clock, retentionMs, onProblem } = settings;
  let running: Promise<void> | undefined;

  const sweep = async (): Promise<void> => {
    for (;;) {
      const [oldest] = segments.sealed;
      const next = segments.sealed[1] ?? segments.active;
      if (oldest === undefined) return;
      // Every record of a segment was appended before the next one was created.
      if (clock.nowMs() - next.createTimeMs < retentionMs) return;
      const startOf = (partition: Partition): number => next.bases.get(partition.key) ?? 0;
      if (!allFinished(catalogue, startOf)) return;
      setStartOffsets(catalogue, startOf);
      // One after the other, each made durable: a gap in the numbers means damage.
      await files.remove(oldest.path);
      await files.syncDirectory(directory);
      segments.sealed.shift();
    }
  };

  return {
    run: () => {
      running ??= sweep()
        .catch((error: unknown) => {
          const message = `Old segments of ${directory} could not be deleted.`;
          onProblem({ kind: "retention-failed", message, error });
        })
        .finally(() => {
          running = undefined;
        });
      return running;
    },
  };
}

/** Whether nobody needs what lies before `startOf`, now or after a crash. */
function allFinished(catalogue: Catalogue, startOf: (partition: Partition) => number): boolean {
  for (const topic of catalogue.topics.values()) {
    for (const partition of topic.partitions) {
      for (const follower of partition.followers) {
        if (follower.position < startOf(partition)) return false;
      }
    }
  }
  for (const { topic, persisted } of catalogue.subscriptions) {
    for (const partition of topic.partitions) {
      const start = startOf(partition);
      const finished = persisted[partition.partition] ?? NOT_COMMITTED;
      if (start > partition.startOffset && finished < start) return false;
    }
  }
  return true;
}

function setStartOffsets(catalogue: Catalogue, startOf: (partition: Partition) => number): void {
  for (const topic of catalogue.topics.values()) {
    for (const partition of topic.partitions) partition.startOffset = startOf(partition);
  }
}
