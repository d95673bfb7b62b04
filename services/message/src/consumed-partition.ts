/** How far one partition has come. */
import type { PartitionRange } from "@parley/platform/log/port";
import type { AppliedBatch } from "./batch-applier.ts";
import { createDispatchProgress, type DispatchProgress } from "./dispatch-progress.ts";
import { checkPartition } from "./log-check.ts";
import type { Checkpoint } from "./ports.ts";

/** A partition that this process consumes. */
export type ConsumedPartition = {
  readonly partition: number;
  readonly progress: DispatchProgress;
  /** What this process has applied; records before it are not looked at again. */
  nextOffset: number;
  /** The replay offset that the store was given last. */
  savedOffset: number;
  /** Where the log ended when the partition became ours. */
  readonly targetOffset: number;
  /** Whether it stands still at a record that needs newer rules. */
  stopped: boolean;
};

/** A partition at its start: where the store says. Throws LogMismatchError when the log cannot serve that. */
export function beginPartition(
  partition: number,
  range: PartitionRange,
  checkpoint: Checkpoint | undefined,
): ConsumedPartition {
  return {
    partition,
    progress: createDispatchProgress(),
    nextOffset: checkPartition(partition, range, checkpoint),
    savedOffset: checkpoint?.replayOffset ?? -1,
    targetOffset: range.endOffset,
    stopped: false,
  };
}

/** In order, as the progress wants them: entries come grouped by conversation. */
export function offsetsToDispatch(applied: AppliedBatch): readonly number[] {
  const offsets = applied.fanout.flatMap(({ entries }) =>
    entries.map(({ offset }) => Number(offset)),
  );
  return applied.fanout.length > 1 ? offsets.sort((a, b) => a - b) : offsets;
}

/**
 * Everything before it is applied and dispatched. A batch whose write failed has opened its records already,
 * and what comes before them is not applied either.
 */
export function replayOffsetOf(progress: DispatchProgress, appliedOffset: number): number {
  return Math.min(progress.lowestOpen ?? appliedOffset, appliedOffset);
}
