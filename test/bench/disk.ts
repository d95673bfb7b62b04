/** What the disk itself costs here and now: the floor under every durable acknowledgement. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Summary, summarize } from "./statistics.ts";

/** Appends 4 KiB and syncs, one after the other, for a while; ms per append. */
export function measureSync(directory: string, durationMs: number): Summary {
  const path = join(directory, "sync-probe");
  const file = openSync(path, "w");
  const block = Buffer.alloc(4096, 1);
  const times: number[] = [];
  const endMs = performance.now() + durationMs;
  try {
    while (performance.now() < endMs) {
      const beganMs = performance.now();
      writeSync(file, block);
      fdatasyncSync(file);
      times.push(performance.now() - beganMs);
    }
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
  return summarize(times);
}
