import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LogHarness, logContract } from "../port.contract.ts";
import type { SegmentLogTuning } from "./options.ts";
import { createSegmentLog } from "./segment-log.ts";

/** Limits so small that everything rolls, falls behind and is read from files all the time. */
const tiny: Partial<SegmentLogTuning> = {
  segmentBytesMax: 4096,
  batchBytesMax: 600,
  deliveryRecordsMax: 3,
  deliveryBytesMax: 64,
  tailBytesMax: 2000,
  blockBytes: 512,
  commitDelayMs: 1,
};

logContract("segment log", () => openHarness({ queueBytesMax: 1024 * 1024 }));
logContract("segment log with tiny limits", () =>
  openHarness({ ...tiny, queueBytesMax: 1100_000 }),
);

async function openHarness(
  tuning: Partial<SegmentLogTuning> & { queueBytesMax: number },
): Promise<LogHarness> {
  const directory = await mkdtemp(join(tmpdir(), "parley-log-"));
  const open = () =>
    createSegmentLog({
      directory,
      partitionCount: 4,
      onProblem: () => {},
      retryPauseMinMs: 1,
      retryPauseMaxMs: 5,
      ...tuning,
    });
  let log = await open();
  return {
    log,
    queueBytesMax: tuning.queueBytesMax,
    reopen: async () => {
      await log[Symbol.asyncDispose]();
      log = await open();
      return log;
    },
    dispose: async () => {
      await log[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}
