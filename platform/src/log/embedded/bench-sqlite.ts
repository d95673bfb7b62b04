import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { LogPosition } from "../port.ts";
import type { SqliteBatch } from "./bench-sqlite-worker.ts";

/** What the benchmark needs of a log. */
export type BenchLog = AsyncDisposable & {
  append(partition: number, value: Uint8Array): Promise<LogPosition>;
};

type Waiting = {
  readonly position: LogPosition;
  readonly value: Uint8Array;
  readonly settle: (position: LogPosition) => void;
};

/**
 * The other way to build the embedded log, for comparison: rows in SQLite (WAL, synchronous = FULL: one
 * sync per commit) in a worker, with the same group commit as the segment log. One message to the worker
 * and one back per batch, the values in one transferred buffer.
 */
export function createSqliteLog(directory: string, partitionCount: number): BenchLog {
  const worker = new Worker(new URL("./bench-sqlite-worker.ts", import.meta.url), {
    workerData: join(directory, "log.sqlite"),
  });
  const nextOffsets = new Array<number>(partitionCount).fill(0);
  let waiting: Waiting[] = [];
  let isRunning = false;

  const flush = async (): Promise<void> => {
    isRunning = true;
    await nextTurn();
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      const message = toMessage(batch);
      worker.postMessage(message, [message.bytes.buffer]);
      await new Promise((done) => worker.once("message", done));
      for (const { position, settle } of batch) settle(position);
      await nextTurn();
    }
    isRunning = false;
  };

  return {
    append: (partition, value) => {
      return new Promise((settle) => {
        const offset = nextOffsets[partition] ?? 0;
        nextOffsets[partition] = offset + 1;
        const position = { partition, offset, appendTimeMs: Date.now() };
        waiting.push({ position, value, settle });
        if (!isRunning) void flush();
      });
    },
    [Symbol.asyncDispose]: async () => {
      const exited = new Promise((done) => worker.once("exit", done));
      worker.postMessage("close");
      await exited;
    },
  };
}

function toMessage(batch: readonly Waiting[]): SqliteBatch {
  const ends: number[] = [];
  let end = 0;
  for (const { value } of batch) {
    end += value.byteLength;
    ends.push(end);
  }
  const bytes = new Uint8Array(end);
  for (const [i, { value }] of batch.entries()) {
    bytes.set(value, (ends[i] ?? 0) - value.byteLength);
  }
  return {
    partitions: batch.map(({ position }) => position.partition),
    offsets: batch.map(({ position }) => position.offset),
    timesMs: batch.map(({ position }) => position.appendTimeMs),
    ends,
    bytes,
  };
}
