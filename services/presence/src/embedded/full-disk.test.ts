import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type FullDiskReport, PEOPLE } from "../testing/record-on-full-disk.ts";
import { createLmdbLastSeenStore } from "./lmdb-last-seen-store.ts";

/** Blocks of 512 bytes that a file may have: less than the times of all the people need. */
const FILE_BLOCKS_MAX = 600;

const script = new URL("../testing/record-on-full-disk.ts", import.meta.url).pathname;

/** Only this lifts the limit of another process; it is not there on every system. */
const canLift = spawnSync("prlimit", ["--version"]).status === 0;
const skip = canLift ? false : "there is no prlimit on this system to give the room back with";

async function runOnFullDisk(directory: string, waitingMax: number) {
  const command = `ulimit -S -f ${FILE_BLOCKS_MAX}; exec "$0" "$@"`;
  const parts = [process.execPath, script, directory, String(waitingMax)];
  const child = spawn("/bin/sh", ["-c", command, ...parts], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  let ended: Extract<FullDiskReport, { event: "ended" }> | undefined;
  child.on("message", (report: FullDiskReport) => {
    if (report.event === "ended") {
      ended = report;
      return;
    }
    execFileSync("prlimit", [`--pid=${child.pid}`, "--fsize=unlimited"]);
    child.send("lifted");
  });
  const [code] = await once(child, "close");
  assert.equal(code, 0, stderr);
  assert.ok(ended !== undefined);
  // lmdb itself writes the first failure to stderr, and must not write every one.
  assert.ok((stderr.match(/Error:/g) ?? []).length <= 1, stderr);
  const { problems, recoveries, unhandled } = ended;
  const expected = { problems: 1, recoveries: 1, unhandled: 0 };
  assert.deepEqual({ problems, recoveries, unhandled }, expected);
  return ended;
}

test("a full disk is said once, and what waited is written when there is room", {
  skip,
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-last-seen-"));
  const { kept } = await runOnFullDisk(directory, PEOPLE);
  assert.equal(kept, PEOPLE);
  await using store = createLmdbLastSeenStore({ directory });
  const last = `person ${PEOPLE - 1}`;
  assert.deepEqual(await store.read(["person 0", last]), [1, PEOPLE]);
  await rm(directory, { recursive: true, force: true });
});

test("memory is bounded meanwhile: the oldest times are given up", { skip }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-last-seen-"));
  const { kept } = await runOnFullDisk(directory, PEOPLE - 5000);
  assert.equal(kept, PEOPLE - 5000);
  await using store = createLmdbLastSeenStore({ directory });
  const last = `person ${PEOPLE - 1}`;
  assert.deepEqual(await store.read(["person 0", "person 5000", last]), [undefined, 5001, PEOPLE]);
  await rm(directory, { recursive: true, force: true });
});
