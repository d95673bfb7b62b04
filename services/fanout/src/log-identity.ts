/** The inboxes belong to one log, and reach a certain way into it. */
import type { Log, LogIdentity, PartitionRange } from "@parley/platform/log/port";
import type { InboxStore, LogPlace } from "./ports.ts";

/** Dispatched through the log: groups. */
export const FANOUT_TOPIC = "fanout";
/** Where the offsets of heads come from. */
const MESSAGES_TOPIC = "messages";

/** The inboxes and the log do not belong together. The message says what to do. */
export class InboxIdentityError extends Error {
  override readonly name = "InboxIdentityError";
}

const RESTORE = "Restore all directories of the server from the same backup.";

/**
 * Makes sure that the inboxes were made from this log. A new store takes the log's identity. Rejects with
 * InboxIdentityError: serving would show people wrong places in their conversations.
 */
export async function checkLogIdentity(
  store: Pick<InboxStore, "readIdentity" | "writeIdentity">,
  log: { readonly identity: LogIdentity },
): Promise<void> {
  const { epoch, partitionCount } = log.identity;
  let known = await store.readIdentity();
  if (known === undefined) {
    await store.writeIdentity(log.identity);
    // Another instance may have been first.
    known = (await store.readIdentity()) ?? log.identity;
  }
  if (known.epoch !== epoch) {
    throw new InboxIdentityError(
      `The inboxes were made from the log ${known.epoch}, and this is the log ${epoch}. ${RESTORE}`,
    );
  }
  if (known.partitionCount !== partitionCount) {
    throw new InboxIdentityError(
      `The inboxes were made from a log of ${known.partitionCount} partitions, and this one has ` +
        `${partitionCount}. The number of partitions is fixed; set PARLEY_LOG_PARTITIONS back.`,
    );
  }
}

/**
 * Where replay of a partition starts: at the store's own place, so that an older copy of the inboxes catches
 * up with the log. Rejects with InboxIdentityError when the log does not hold what that takes.
 */
export async function findReplayOffset(
  store: Pick<InboxStore, "readPlace">,
  log: Pick<Log, "range">,
  partition: number,
): Promise<number> {
  const place = await store.readPlace(partition);
  const fanout = await log.range(FANOUT_TOPIC, partition);
  if (place === undefined) return checkBeginning(partition, fanout);
  const messages = await log.range(MESSAGES_TOPIC, partition);
  refuseShortLog(`${MESSAGES_TOPIC}/${partition}`, messages, place.headsEndOffset);
  refuseShortLog(`${FANOUT_TOPIC}/${partition}`, fanout, place.replayOffset);
  return checkReach(partition, fanout, place);
}

/** Members are known only from the beginning of a conversation on. */
function checkBeginning(partition: number, { startOffset }: PartitionRange): number {
  if (startOffset === 0) return 0;
  throw new InboxIdentityError(
    `There are no inboxes yet, and the log has forgotten the beginning of ${FANOUT_TOPIC}/${partition}: ` +
      `it begins at ${startOffset}. ${RESTORE}`,
  );
}

/** Rule 6: a log that ends before a head. What comes next would be given places that people have seen taken. */
function refuseShortLog(name: string, { endOffset }: PartitionRange, neededOffset: number): void {
  if (neededOffset <= endOffset) return;
  throw new InboxIdentityError(
    `The inboxes were made from ${name} up to ${neededOffset - 1}, and the log ends before ${endOffset}: ` +
      `it is older than they are, or has lost records. ${RESTORE}`,
  );
}

function checkReach(
  partition: number,
  { startOffset }: PartitionRange,
  { replayOffset }: LogPlace,
): number {
  if (replayOffset >= startOffset) return replayOffset;
  throw new InboxIdentityError(
    `The inboxes need ${FANOUT_TOPIC}/${partition} from ${replayOffset} on, and the log begins at ` +
      `${startOffset}: they are older than what it still holds. ${RESTORE}`,
  );
}
