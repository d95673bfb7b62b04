/** What the embedded log's own tests share: a log on a disk in memory, and reading it back. */
import type { Log, LogRecord } from "../port.ts";
import type { LogProblem, SegmentLogTuning } from "./options.ts";
import type { PowerLossFiles } from "./power-loss.ts";
import { createSegmentLog } from "./segment-log.ts";

export const DIRECTORY = "/data/log";
export const TOPIC = "messages";

export type TestLogOptions = Partial<SegmentLogTuning> & {
  readonly partitionCount?: number;
  readonly forgottenGroups?: readonly string[];
  readonly onProblem?: (problem: LogProblem) => void;
};

/** Opens a log of 2 partitions on a disk in memory. */
export function openTestLog(files: PowerLossFiles, options: TestLogOptions = {}): Promise<Log> {
  return createSegmentLog({
    directory: DIRECTORY,
    partitionCount: 2,
    onProblem: () => {},
    retryPauseMinMs: 1,
    retryPauseMaxMs: 2,
    ...options,
    files,
  });
}

/** All records that a log holds of a topic, by partition, through a consumer of a group of its own. */
export async function readAll(log: Log, topic = TOPIC): Promise<LogRecord[][]> {
  const found: LogRecord[][] = [];
  let missing = 0;
  for (let partition = 0; partition < log.identity.partitionCount; partition++) {
    const { startOffset, endOffset } = await log.range(topic, partition);
    missing += endOffset - startOffset;
    found.push([]);
  }
  const complete = Promise.withResolvers<void>();
  if (missing === 0) complete.resolve();
  const starts = await Promise.all(found.map((_, partition) => log.range(topic, partition)));
  await using _consumer = await log.consume({
    topic,
    group: "read-all",
    onAssigned: async (partition) => starts[partition]?.startOffset,
    onBatch: async ({ partition, records }) => {
      found[partition]?.push(...records);
      missing -= records.length;
      if (missing <= 0) complete.resolve();
    },
  });
  await complete.promise;
  return found;
}

export function textOf(record: LogRecord | undefined): string {
  return record === undefined ? "(none)" : Buffer.from(record.value).toString();
}

/** A small seeded generator (mulberry32): uniform in [0, 1). */
export function createRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
