import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createHealth } from "../../health.ts";
import { createLogger } from "../../telemetry/logger.ts";
import { createMetrics } from "../../telemetry/metrics.ts";
import { createLogHealth } from "../log-health.ts";
import { createObservedLog } from "../observed-log.ts";
import { LogUnavailableError } from "../port.ts";
import { createPowerLossFiles } from "./power-loss.ts";
import { createProblemReport } from "./problem-report.ts";
import { createSegmentLog } from "./segment-log.ts";
import { openTestLog, TOPIC } from "./test-log.ts";

type Line = { readonly level: string; readonly msg: string; readonly attempt?: number };

function createRig() {
  const lines: Line[] = [];
  const log = createLogger({
    serviceName: "test",
    level: "info",
    format: "json",
    destination: { write: (line: string) => lines.push(JSON.parse(line) as Line) },
  });
  const registry = createHealth();
  const health = createLogHealth({ health: registry });
  const onProblem = createProblemReport({ log, health });
  return { lines, health, onProblem, shown: () => registry.get("log") };
}

for (const [code, remedy] of [
  ["ENOSPC", "The disk is full (ENOSPC): make room, then restart the server."],
  ["EIO", "The disk does not take writes (EIO): look at it, then restart the server."],
] as const) {
  test(`a write that fails with ${code}: the line and the health say what to do`, async () => {
    const { lines, health, onProblem, shown } = createRig();
    const files = createPowerLossFiles();
    const segments = await openTestLog(files, { onProblem });
    await using log = createObservedLog(segments, { metrics: createMetrics(), health });
    await log.append(TOPIC, 0, Buffer.from("good"));
    assert.equal(shown()?.serving, true);
    files.failNext("append", Object.assign(new Error(`${code}: write`), { code }));
    await assert.rejects(log.append(TOPIC, 0, Buffer.from("lost")), LogUnavailableError);
    await assert.rejects(log.append(TOPIC, 0, Buffer.from("refused")), LogUnavailableError);
    assert.equal(shown()?.serving, false);
    const text = `The log in /data/log failed to write. It is read-only until it is opened again. ${remedy}`;
    assert.equal(shown()?.reason, text);
    assert.deepEqual(
      lines.map(({ level, msg }) => ({ level, msg })),
      [{ level: "error", msg: text }],
    );
  });
}

test("a damaged segment shows in health, names the place, and does not fill the log", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-log-"));
  const tuning = { directory, partitionCount: 1, segmentBytesMax: 1024, tailBytesMax: 0 };
  {
    await using first = await createSegmentLog({ ...tuning, onProblem: () => {} });
    for (let i = 0; i < 4; i++) await first.append(TOPIC, 0, Buffer.alloc(800, "a"));
  }
  const [path = ""] = (await readdir(directory))
    .filter((name) => name.endsWith(".segment"))
    .sort()
    .map((name) => join(directory, name));
  const sound = await readFile(path);
  const damaged = Buffer.from(sound);
  damaged[damaged.length - 100] = 0;
  await writeFile(path, damaged);

  const { lines, health, onProblem, shown } = createRig();
  const attempts: number[] = [];
  const tried = Promise.withResolvers<void>();
  const segments = await createSegmentLog({
    ...tuning,
    retryPauseMinMs: 1,
    retryPauseMaxMs: 1,
    onProblem: (problem) => {
      onProblem(problem);
      if (problem.kind !== "delivery-failed") return;
      attempts.push(problem.attempt);
      if (problem.attempt === 9) tried.resolve();
    },
  });
  const log = createObservedLog(segments, { metrics: createMetrics(), health });
  try {
    const read = Promise.withResolvers<void>();
    await log.consume({ topic: TOPIC, group: "reader", onBatch: async () => read.resolve() });
    await tried.promise;
    const { serving, reason = "" } = shown() ?? {};
    assert.equal(serving, false);
    assert.match(
      reason,
      /^Group reader stands still at messages\/0, offset \d: .*\.segment is damaged/,
    );
    assert.doesNotMatch(reason, /\n/);
    assert.deepEqual(
      lines.map(({ attempt }) => attempt),
      [1, 2, 4, 8],
    );
    // Put back what belongs there: the component tells the truth again.
    await writeFile(path, sound);
    await read.promise;
    assert.equal(shown()?.serving, true);
  } finally {
    await log[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  }
});
