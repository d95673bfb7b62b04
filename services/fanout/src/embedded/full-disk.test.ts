import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { FullDiskReport } from "../testing/write-on-full-disk.ts";
import { createLmdbInboxStore } from "./lmdb-inbox-store.ts";

/** Blocks of 512 bytes that a file may have: room for some hundred conversations. */
const FILE_BLOCKS_MAX = 1000;

const script = new URL("../testing/write-on-full-disk.ts", import.meta.url).pathname;

/** Only this lifts the limit of another process; it is not there on every system. */
const canLift = spawnSync("prlimit", ["--version"]).status === 0;

async function runOnFullDisk(directory: string, mode: "recover" | "close") {
  const command = `ulimit -S -f ${FILE_BLOCKS_MAX}; exec "$0" "$@"`;
  const child = spawn("/bin/sh", ["-c", command, process.execPath, script, directory, mode], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  let ended: Extract<FullDiskReport, { event: "ended" }> | undefined;
  child.on("message", (report: FullDiskReport) => {
    if (report.event === "ended") ended = report;
    else if (mode === "recover") {
      execFileSync("prlimit", [`--pid=${child.pid}`, "--fsize=unlimited"]);
    }
  });
  const [code] = await once(child, "close");
  assert.equal(code, 0, stderr);
  assert.ok(ended !== undefined);
  return { ended, stderr };
}

test("a full disk is said once, everything waits, and is written when there is room", {
  skip: canLift ? false : "there is no prlimit on this system to give the room back with",
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-inbox-"));
  const { ended, stderr } = await runOnFullDisk(directory, "recover");
  const { problems, recoveries, unhandled, written, durable, givenUp } = ended;
  assert.deepEqual(
    { problems, recoveries, unhandled, givenUp },
    {
      ...{ problems: 1, recoveries: 1, unhandled: 0, givenUp: 0 },
    },
  );
  assert.equal(durable, written);
  // lmdb itself writes the first failure to stderr, and must not write every one.
  assert.ok((stderr.match(/Error:/g) ?? []).length <= 1, stderr);
  await using store = createLmdbInboxStore({ directory, membershipsCachedMax: 1000 });
  const last = await store.readConversation(`conversation ${written}`);
  assert.equal(last?.head.seq, BigInt(written));
  assert.ok((await store.readConversation("conversation 1")) !== undefined);
  await rm(directory, { recursive: true, force: true });
});

test("while the disk is full memory is bounded, and the store ends all the same", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-inbox-"));
  const { ended } = await runOnFullDisk(directory, "close");
  assert.equal(ended.wasFull, true);
  assert.equal(ended.unhandled, 0);
  assert.equal(ended.recoveries, 0);
  assert.ok(ended.givenUp > 0);
  assert.equal(ended.durable + ended.givenUp, ended.written);
  // What was durable before is there; what was given up comes again from the log.
  await using store = createLmdbInboxStore({ directory, membershipsCachedMax: 1000 });
  const item = await store.readConversation(`conversation ${ended.durable}`);
  assert.equal(item?.head.seq, BigInt(ended.durable));
  await rm(directory, { recursive: true, force: true });
});
