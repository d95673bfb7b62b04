/**
 * A process that records last-seen times on a disk that is full: its parent starts it with a limit to the
 * size of files, and lifts that when told to.
 */
import { once } from "node:events";
import { createManualClock } from "@parley/platform/clock";
import { createLmdbLastSeenStore } from "../embedded/lmdb-last-seen-store.ts";

export type FullDiskReport =
  | { readonly event: "full" }
  | {
      readonly event: "ended";
      readonly problems: number;
      readonly recoveries: number;
      readonly unhandled: number;
      /** People whose times were still known while the disk was full, of PEOPLE. */
      readonly kept: number;
    };

/** More than the file may hold. */
export const PEOPLE = 20_000;
/** Longer than the longest pause between attempts, in ms. */
const PAUSE_MS = 60_000;
const ATTEMPTS = 5;

async function run(directory: string, waitingMax: number): Promise<void> {
  const counts = { problems: 0, recoveries: 0, unhandled: 0 };
  process.on("unhandledRejection", () => counts.unhandled++);
  const failed = Promise.withResolvers<void>();
  const recovered = Promise.withResolvers<void>();
  const clock = createManualClock();
  const store = createLmdbLastSeenStore({
    ...{ directory, clock, waitingMax },
    onProblem() {
      counts.problems++;
      failed.resolve();
    },
    onRecovered() {
      counts.recoveries++;
      recovered.resolve();
    },
  });
  const userIds = Array.from({ length: PEOPLE }, (_, index) => `person ${index}`);
  for (const [index, userId] of userIds.entries()) store.record(userId, index + 1);
  clock.advance(PAUSE_MS);
  await failed.promise;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(PAUSE_MS);
  }
  const kept = (await store.read(userIds)).filter((timeMs) => timeMs !== undefined).length;
  process.send?.({ event: "full" } satisfies FullDiskReport);
  await once(process, "message");
  await new Promise((resolve) => setImmediate(resolve));
  clock.advance(PAUSE_MS);
  await recovered.promise;
  await store[Symbol.asyncDispose]();
  process.send?.({ event: "ended", ...counts, kept } satisfies FullDiskReport);
  process.disconnect?.();
}

const [directory, waitingMax] = process.argv.slice(2);
if (process.send !== undefined && directory !== undefined) await run(directory, Number(waitingMax));
