/** Percentiles and the machine's own accounting. */
import { readFileSync } from "node:fs";

export type Summary = {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
};

/** Nearest-rank percentiles; the values are sorted in place. */
export function summarize(values: number[]): Summary {
  values.sort((a, b) => a - b);
  const at = (share: number) =>
    values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;
  return { count: values.length, p50: at(0.5), p99: at(0.99), max: values.at(-1) ?? 0 };
}

const TICKS_PER_SECOND = 100; // USER_HZ, fixed on Linux

/** CPU time that a process has used, user and system, all its threads, in seconds. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Memory that a process holds now, in bytes. */
export function residentBytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}
