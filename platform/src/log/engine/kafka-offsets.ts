/** Where partitions begin and end, and where a group stands in them. */
import kafkajs, { type Admin } from "kafkajs";
import type { TimerClock } from "../../clock.ts";
import { LogRangeError, type PartitionRange } from "../port.ts";
import type { KafkaLogSettings } from "./options.ts";

export type PartitionOffsets = PartitionRange & {
  /** Undefined when the group has committed nothing. */
  readonly committedOffset: number | undefined;
};

/** Kafka's word for "nothing committed". */
const NOT_COMMITTED = -1;

/** A leader that was just elected may not know it yet, and the client asks for these only once. */
const ATTEMPTS_MAX = 20;
const PAUSE_MS = 100;

export async function readRanges(
  { clock }: Pick<KafkaLogSettings, "clock">,
  admin: Pick<Admin, "fetchTopicOffsets">,
  topicName: string,
): Promise<ReadonlyMap<number, PartitionRange>> {
  const partitions = await withRetries(clock, () => admin.fetchTopicOffsets(topicName));
  return new Map(
    partitions.map(({ partition, low, high }) => [
      partition,
      { startOffset: Number(low), endOffset: Number(high) },
    ]),
  );
}

async function withRetries<T>(clock: TimerClock, attempt: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      const passing = error instanceof kafkajs.KafkaJSError && error.retriable;
      if (!passing || attempts === ATTEMPTS_MAX) throw error;
      await new Promise<void>((resolve) => clock.setTimer(PAUSE_MS, resolve));
    }
  }
}

export async function readOffsets(
  settings: Pick<KafkaLogSettings, "clock">,
  admin: Pick<Admin, "fetchTopicOffsets" | "fetchOffsets">,
  topicName: string,
  groupId: string,
): Promise<ReadonlyMap<number, PartitionOffsets>> {
  const [ranges, groups] = await Promise.all([
    readRanges(settings, admin, topicName),
    withRetries(settings.clock, () => admin.fetchOffsets({ groupId, topics: [topicName] })),
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
