/** What a process holds, as the kernel counts it. */
import { readdirSync, readFileSync } from "node:fs";

export const MIB = 1024 * 1024;

/** Memory that is the process's own: heap and buffers, without pages of files that it maps (the store's). */
export function ownBytes(pid: number): number {
  const line = /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}

/** Files, sockets and pipes that the process has open. */
export function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

export type MemoryWatch = Disposable & { readonly peakBytes: number };

const SAMPLE_MS = 50;

/** Samples a process's own memory until it is disposed. */
export function watchMemory(pid: number): MemoryWatch {
  let peakBytes = ownBytes(pid);
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, ownBytes(pid));
  }, SAMPLE_MS);
  return {
    get peakBytes() {
      return peakBytes;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
