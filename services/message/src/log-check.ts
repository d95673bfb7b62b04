/** Whether the log and the store belong together. */
import type { LogIdentity, PartitionRange } from "@parley/platform/log/port";
import type { Checkpoint, MessageStore } from "./ports.ts";

/** The store was derived from another log, or from more of this one than there is. Serving would mix two histories. */
export class LogMismatchError extends Error {
  override readonly name = "LogMismatchError";
}

/** Keeps the log's identity with the store, or compares it with what is kept. Throws LogMismatchError. */
export async function checkIdentity(
  store: Pick<MessageStore, "bindLog">,
  identity: LogIdentity,
): Promise<void> {
  const bound = await store.bindLog(identity);
  if (bound.epoch !== identity.epoch) {
    throw new LogMismatchError(
      `The message store belongs to the log ${bound.epoch}, and this is the log ${identity.epoch}. ` +
        "Restore the log that belongs to the store; or, if that log is lost and its messages may be " +
        "lost with it, remove the message store's directory and start again.",
    );
  }
  if (bound.partitionCount !== identity.partitionCount) {
    throw new LogMismatchError(
      `The message store was made from ${bound.partitionCount} partitions, and the log has ` +
        `${identity.partitionCount}. The number is fixed for the life of a log; set it back.`,
    );
  }
}

/** Where replay of a partition starts. Throws LogMismatchError when the log does not hold what it has to. */
export function checkPartition(
  partition: number,
  range: PartitionRange,
  checkpoint: Checkpoint | undefined,
): number {
  const place = `Partition ${partition} of the log holds offsets ${range.startOffset} to ${range.endOffset - 1}`;
  if (checkpoint === undefined) {
    if (range.startOffset === 0) return 0;
    throw new LogMismatchError(
      `${place}, and the message store has nothing of it: what came before is gone. ` +
        "Restore the message store from a backup that is younger than the log's oldest record.",
    );
  }
  if (checkpoint.endOffset > range.endOffset) {
    throw new LogMismatchError(
      `${place}, and the message store has applied it up to ${checkpoint.endOffset - 1}: the log has ` +
        "lost records that were acknowledged. Restore the log, or a message store that is as old as it.",
    );
  }
  if (checkpoint.replayOffset < range.startOffset) {
    throw new LogMismatchError(
      `${place}, and the message store needs it from ${checkpoint.replayOffset} on. Restore a message ` +
        "store that is younger than the log's oldest record, and keep the log for longer.",
    );
  }
  return checkpoint.replayOffset;
}
