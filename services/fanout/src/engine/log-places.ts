/** How far the inboxes reach into the log. Offsets only grow, so those that wait for a write become one. */
import { createDeferred, type Deferred } from "@parley/platform/async/deferred";
import type { CassandraStatement } from "@parley/platform/storage/engine/cassandra";
import { timestampOf } from "./inbox-values.ts";

export type LogPlaces = {
  /** Resolves when the place is at least this. Rejects when the write that it was part of did. */
  raiseReplay(partition: number, replayOffset: number): Promise<void>;
  raiseHeadsEnd(partition: number, headsEndOffset: number): Promise<void>;
};

type Column = "replay_offset" | "heads_end_offset";

const RAISE: Record<Column, string> = {
  replay_offset:
    "UPDATE inbox_places USING TIMESTAMP ? SET replay_offset = ? WHERE log_partition = ?",
  heads_end_offset:
    "UPDATE inbox_places USING TIMESTAMP ? SET heads_end_offset = ? WHERE log_partition = ?",
};

export function createLogPlaces(
  epochNumber: number,
  write: (statement: CassandraStatement) => Promise<void>,
): LogPlaces {
  const raisers = new Map<string, (offset: number) => Promise<void>>();
  const raise = (column: Column, partition: number, offset: number) => {
    const key = `${column} ${partition}`;
    const known = raisers.get(key);
    if (known !== undefined) return known(offset);
    const raiser = createRaiser((position) => {
      const timestamp = timestampOf(epochNumber, BigInt(position));
      return write({ query: RAISE[column], params: [timestamp, BigInt(position), partition] });
    });
    raisers.set(key, raiser);
    return raiser(offset);
  };
  return {
    raiseReplay: (partition, offset) => raise("replay_offset", partition, offset),
    raiseHeadsEnd: (partition, offset) => raise("heads_end_offset", partition, offset),
  };
}

/**
 * One write at a time, and only for what is higher than what is written. Two writes of one row at once would
 * cost two, and change it once.
 */
function createRaiser(write: (position: number) => Promise<void>) {
  let written = -1;
  let waiting: { position: number; readonly done: Deferred<void> } | undefined;
  let running = false;

  async function run(): Promise<void> {
    running = true;
    for (let round = waiting; round !== undefined; round = waiting) {
      waiting = undefined;
      const { position, done } = round;
      try {
        await write(position);
        written = Math.max(written, position);
        done.resolve();
      } catch (error) {
        done.reject(error);
      }
    }
    running = false;
  }

  return (position: number): Promise<void> => {
    if (position <= written) return Promise.resolve();
    waiting ??= { position, done: createDeferred() };
    waiting.position = Math.max(waiting.position, position);
    const { promise } = waiting.done;
    if (!running) void run();
    return promise;
  };
}
