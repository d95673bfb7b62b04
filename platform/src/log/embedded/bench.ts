/**
 * Measures the two ways to build the embedded log, and the disk under them, in one run:
 *
 *     node platform/src/log/embedded/bench.ts [directory]
 *
 * Writers append in closed loop: each waits for its record to be durable, then appends the next. About
 * half a minute. The directory decides which disk is measured; default: the system's temporary one.
 */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { argv, cpuUsage, stdout, threadCpuUsage } from "node:process";
import { type BenchLog, createSqliteLog } from "./bench-sqlite.ts";
import { createSegmentLog } from "./segment-log.ts";

const PARTITIONS = 16;
const VALUE_BYTES = 300;
const WRITERS = [1, 50, 500];
const ROUNDS = 3; // The two logs take turns, so that a slow moment of the disk hits both.
const WARM_UP_MS = 300;

export type BenchRow = {
  readonly name: string;
  readonly writers: number;
  readonly appendsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of the thread that serves everything else too, per append. */
  readonly mainThreadMicros: number;
  /** CPU of the whole process, per append. */
  readonly processMicros: number;
};

export type BenchResult = { readonly syncMs: number; readonly rows: readonly BenchRow[] };

/** Runs everything in a directory of its own under `parent`; each measurement takes `measureMs`. */
export async function runLogBench(
  parent: string,
  measureMs: number,
  rounds = ROUNDS,
): Promise<BenchResult> {
  const directory = await mkdtemp(join(parent, "parley-log-bench-"));
  const rows: BenchRow[] = [];
  try {
    const syncMs = await measureSync(join(directory, "raw"), measureMs);
    for (let round = 0; round < rounds; round++) {
      for (const writers of WRITERS) {
        for (const name of ["segment file", "SQLite in a worker"] as const) {
          await using log = await openLog(name, await mkdtemp(join(directory, "log-")));
          await run(log, writers, Math.min(WARM_UP_MS, measureMs));
          rows.push({ name, writers, ...(await run(log, writers, measureMs)) });
        }
      }
    }
    return { syncMs, rows: median(rows) };
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function openLog(name: string, directory: string): Promise<BenchLog> {
  if (name === "SQLite in a worker") return createSqliteLog(directory, PARTITIONS);
  const log = await createSegmentLog({
    directory,
    partitionCount: PARTITIONS,
    onProblem: ({ message }) => {
      throw new Error(message);
    },
  });
  // With a consumer that keeps up, as in the product.
  const consumer = await log.consume({ topic: "bench", group: "bench", onBatch: async () => {} });
  return {
    append: (partition, value) => log.append("bench", partition, value),
    [Symbol.asyncDispose]: async () => {
      await consumer[Symbol.asyncDispose]();
      await log[Symbol.asyncDispose]();
    },
  };
}

/** Median time to append the bytes of one record to a file and sync it, in ms. */
async function measureSync(path: string, measureMs: number): Promise<number> {
  await using file = await open(path, "a");
  const bytes = Buffer.alloc(VALUE_BYTES, 1);
  const times: number[] = [];
  const end = performance.now() + measureMs;
  for (let at = performance.now(); at < end; ) {
    await file.write(bytes);
    await file.datasync();
    const now = performance.now();
    times.push(now - at);
    at = now;
  }
  return quantile(times, 0.5);
}

async function run(
  log: BenchLog,
  writers: number,
  measureMs: number,
): Promise<Omit<BenchRow, "name" | "writers">> {
  const times: number[] = [];
  const main = threadCpuUsage();
  const whole = cpuUsage();
  const start = performance.now();
  const write = async (writer: number): Promise<void> => {
    let at = start;
    while (at - start < measureMs) {
      await log.append(writer % PARTITIONS, Buffer.alloc(VALUE_BYTES, writer));
      const now = performance.now();
      times.push(now - at);
      at = now;
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  const seconds = (performance.now() - start) / 1000;
  const mainUsed = threadCpuUsage(main);
  const wholeUsed = cpuUsage(whole);
  return {
    appendsPerSecond: times.length / seconds,
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
    mainThreadMicros: (mainUsed.user + mainUsed.system) / times.length,
    processMicros: (wholeUsed.user + wholeUsed.system) / times.length,
  };
}

/** One row per log and number of writers: the round with the middle throughput. */
function median(rows: readonly BenchRow[]): BenchRow[] {
  const groups = Map.groupBy(rows, ({ name, writers }) => `${name} ${writers}`);
  return [...groups.values()].flatMap((group) => {
    const sorted = group.toSorted((a, b) => a.appendsPerSecond - b.appendsPerSecond);
    return sorted[sorted.length >> 1] ?? [];
  });
}

function quantile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
}

/** The result as a Markdown table. */
export function formatLogBench({ syncMs, rows }: BenchResult): string {
  const lines = [
    `One record appended to a plain file and synced: ${syncMs.toFixed(2)} ms (median).`,
    "",
    `| ${VALUE_BYTES}-byte values | writers | appends/s | p50 ms | p99 ms | main thread µs/append | process µs/append |`,
    "|---|---:|---:|---:|---:|---:|---:|",
  ];
  for (const row of rows) {
    const rate = Math.round(row.appendsPerSecond).toLocaleString("en");
    const times = `${row.p50Ms.toFixed(2)} | ${row.p99Ms.toFixed(2)}`;
    const cpu = `${row.mainThreadMicros.toFixed(1)} | ${row.processMicros.toFixed(1)}`;
    lines.push(`| ${row.name} | ${row.writers} | ${rate} | ${times} | ${cpu} |`);
  }
  return `${lines.join("\n")}\n`;
}

if (import.meta.main) {
  stdout.write(formatLogBench(await runLogBench(argv[2] ?? tmpdir(), 1000)));
}
