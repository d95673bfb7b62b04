/** The inboxes belong to one log. */
import type { Log } from "@parley/platform/log/port";
import { FANOUT_TOPIC } from "./fanout-consumer.ts";
import type { InboxStore } from "./ports.ts";

/** The inboxes and the log do not belong together. The message says what to do. */
export class InboxIdentityError extends Error {
  override readonly name = "InboxIdentityError";
}

/**
 * Makes sure that the inboxes were made from this log, from its beginning on. A new store takes the log's
 * identity. Rejects with InboxIdentityError: serving would show people wrong places in their conversations.
 */
export async function checkLogIdentity(
  store: Pick<InboxStore, "readIdentity" | "writeIdentity">,
  log: Pick<Log, "identity" | "range">,
): Promise<void> {
  const known = await store.readIdentity();
  const { epoch, partitionCount } = log.identity;
  if (known === undefined) {
    await refuseLateStart(log, partitionCount);
    await store.writeIdentity(log.identity);
    return;
  }
  if (known.epoch !== epoch) {
    throw new InboxIdentityError(
      `The inboxes were made from the log ${known.epoch}, and this is the log ${epoch}. Restore the ` +
        "directories of both from the same backup.",
    );
  }
  if (known.partitionCount !== partitionCount) {
    throw new InboxIdentityError(
      `The inboxes were made from a log of ${known.partitionCount} partitions, and this one has ` +
        `${partitionCount}. The number of partitions is fixed; set it back.`,
    );
  }
}

/** Members are known only from the beginning of a conversation on. */
async function refuseLateStart(log: Pick<Log, "range">, partitionCount: number): Promise<void> {
  for (let partition = 0; partition < partitionCount; partition++) {
    const { startOffset } = await log.range(FANOUT_TOPIC, partition);
    if (startOffset === 0) continue;
    throw new InboxIdentityError(
      `There are no inboxes yet, and the log has forgotten the beginning of ${FANOUT_TOPIC}/${partition}. ` +
        "Restore the directory of the inboxes from a backup.",
    );
  }
}
