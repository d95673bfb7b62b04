/** Where partitions begin and end, and where a group stands in them. */
import type { Admin } from "kafkajs";
import { LogRangeError, type PartitionRange } from "../port.ts";

export type PartitionOffsets = PartitionRange & {
  /** Undefined when the group has committed nothing. */
  readonly committedOffset: number | undefined;
};

/** Kafka's word for "nothing committed". */
const NOT_COMMITTED = -1;

export async function readRanges(
  admin: Pick<Admin, "fetchTopicOffsets">,
  topicName: string,
): Promise<ReadonlyMap<number, PartitionRange>> {
  const partitions = await admin.fetchTopicOffsets(topicName);
  return new Map(
    partitions.map(({ partition, low, high }) => [
      partition,
      { startOffset: Number(low), endOffset: Number(high) },
    ]),
  );
}

export async function readOffsets(
  admin: Pick<Admin, "fetchTopicOffsets" | "fetchOffsets">,
  topicName: string,
  groupId: string,
): Promise<ReadonlyMap<number, PartitionOffsets>> {
  const [ranges, groups] = await Promise.all([
    readRanges(admin, topicName),
    admin.fetchOffsets({ groupId, topics: [topicName] }),
  ]);
  const committed = new Map(
    (groups[0]?.partitions ?? []).map(({ partition, offset }) => [partition, Number(offset)]),
  );
  return new Map(
    [...ranges].map(([partition, range]) => {
      const offset = committed.get(partition) ?? NOT_COMMITTED;
      return [partition, { ...range, committedOffset: offset < 0 ? undefined : offset }];
    }),
  );
}

/**
 * Where delivery of a partition begins: the handler's own checkpoint, the commit, or the oldest record. Throws
 * LogRangeError when that is not in the log: it was recreated or truncated, or kept records for too short a time.
 */
export function findStart(
  place: { readonly group: string; readonly topicName: string; readonly partition: number },
  offsets: PartitionOffsets,
  asked: number | undefined,
): number {
  const { startOffset, endOffset, committedOffset } = offsets;
  const start = asked ?? committedOffset ?? startOffset;
  if (Number.isSafeInteger(start) && start >= startOffset && start <= endOffset) return start;
  const { group, topicName, partition } = place;
  throw new LogRangeError(
    `Group ${group} asks for ${topicName}/${partition} from offset ${start}, and the log holds ` +
      `${startOffset} to ${endOffset}: it was recreated or truncated.`,
  );
}
