import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execPath } from "node:process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { createSegmentLog } from "./segment-log.ts";
import { readAll, TOPIC, textOf } from "./test-log.ts";

const CHILD = new URL("./crash-child.ts", import.meta.url).pathname;
const ROUNDS = 5;
const ACKNOWLEDGED_MIN = 1000;

type Acknowledged = Map<string, string>;

/** Lets a child append to the directory and kills it in the middle; adds what it had acknowledged. */
async function appendAndKill(directory: string, acknowledged: Acknowledged): Promise<void> {
  const child = spawn(execPath, [CHILD, directory, "20"], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  let lines = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    lines += 1;
    if (lines === ACKNOWLEDGED_MIN) child.kill("SIGKILL");
    const [partition, offset, value] = line.split(" ");
    // The last line may be cut off by the kill.
    if (value?.endsWith("x") || value?.endsWith("/")) {
      acknowledged.set(`${partition} ${offset}`, value);
    }
  }
  const [, signal] = await exited;
  assert.equal(signal, "SIGKILL");
}

test("after kill -9 in the middle of appends every acknowledged record is there", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-crash-"));
  const acknowledged: Acknowledged = new Map();
  for (let round = 0; round < ROUNDS; round++) {
    await appendAndKill(directory, acknowledged);
    assert.ok(acknowledged.size >= ACKNOWLEDGED_MIN * (round + 1) - 1);
    const log = await createSegmentLog({ directory, partitionCount: 4, onProblem: () => {} });
    const found = await readAll(log, TOPIC);
    await log[Symbol.asyncDispose]();
    for (const records of found) {
      for (const [i, record] of records.entries()) assert.equal(record.offset, i);
    }
    for (const [place, value] of acknowledged) {
      const [partition, offset] = place.split(" ").map(Number);
      assert.ok(textOf(found[partition ?? 0]?.[offset ?? 0]).startsWith(value), place);
    }
  }
  await rm(directory, { recursive: true });
});
