/** A disk without room for the store: said once, nothing lost, nothing doubled, and written when there is room. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";
import { FULL_DISK_CONVERSATION, type FullDiskReport } from "./testing/append-on-full-disk.ts";
import { asDevice, openMessageWorld } from "./testing/message-world.ts";

/** Blocks of 512 bytes that a file may have: room for some dozens of the messages. */
const FILE_BLOCKS_MAX = 2000;

const script = new URL("./testing/append-on-full-disk.ts", import.meta.url).pathname;

/** Only this lifts the limit of another process; it is not there on every system. */
const canLift = spawnSync("prlimit", ["--version"]).status === 0;

type Ended = Extract<FullDiskReport, { event: "ended" }>;
type Refused = Extract<FullDiskReport, { event: "refused" }>;

function temporaryDirectory() {
  const path = mkdtempSync(join(tmpdir(), "parley-full-disk-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

async function runOnFullDisk(directory: string, mode: "recover" | "close") {
  const command = `ulimit -S -f ${FILE_BLOCKS_MAX}; exec "$0" "$@"`;
  const child = spawn("/bin/sh", ["-c", command, process.execPath, script, directory, mode], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  let ended: Ended | undefined;
  let refused: Refused | undefined;
  child.on("message", (report: FullDiskReport) => {
    if (report.event === "ended") {
      ended = report;
      return;
    }
    refused = report;
    if (mode === "close") return;
    execFileSync("prlimit", [`--pid=${child.pid}`, "--fsize=unlimited"]);
    child.send("lifted");
  });
  const [code] = await once(child, "close");
  assert.equal(code, 0, stderr);
  assert.ok(ended !== undefined && refused !== undefined, stderr);
  // lmdb itself writes the first failure to stderr, and must not write every one.
  assert.ok((stderr.match(/Error:/g) ?? []).length <= 1, stderr);
  return { ended, refused };
}

/** Every message in the timeline, after a new start on the directory. */
async function readAll(directory: string): Promise<readonly Message[]> {
  const { conversationId, ben } = FULL_DISK_CONVERSATION;
  await using world = await openMessageWorld({ directory, log: { partitionCount: 1 } });
  const found: Message[] = [];
  for (let more = true; more; ) {
    const page = await world.messages.listMessages(
      { conversationId, fromSeq: found.at(-1)?.seq ?? 0n, direction: ReadDirection.NEWER },
      asDevice(ben),
    );
    found.push(...page.messages);
    more = page.more;
  }
  return found;
}

function checkTimeline(messages: readonly Message[], acks: Ended["acks"]): void {
  const seqs = messages.map(({ seq }) => Number(seq));
  assert.deepEqual(
    seqs,
    seqs.map((_, at) => at + 1),
    "dense",
  );
  const ids = messages.slice(1).map(({ clientMessageId }) => clientMessageId);
  assert.equal(new Set(ids).size, ids.length, "nothing is there twice");
  for (const { id, seq } of acks)
    assert.equal(ids[seq - 2], id, "what was answered is in its place");
}

describe("a full disk", () => {
  it("is said once, refuses with a reason, and loses and doubles nothing", {
    skip: canLift ? false : "there is no prlimit on this system to give the room back with",
  }, async () => {
    using temporary = temporaryDirectory();
    const { ended, refused } = await runOnFullDisk(temporary.path, "recover");
    const { reason, receiptReason, serving } = refused;
    assert.deepEqual(
      { reason, receiptReason, serving },
      { reason: "STORE_NOT_WRITABLE", receiptReason: "STORE_NOT_WRITABLE", serving: false },
    );
    assert.deepEqual(ended.lines, [
      "error The message store cannot be written. Is the disk full? Its commits wait in memory, and are tried again.",
      "info The message store is written again.",
    ]);
    assert.equal(ended.unhandled, 0);
    assert.equal(ended.serving, true);
    const messages = await readAll(temporary.path);
    assert.equal(messages.length, ended.acks.length + 1, "each was accepted in the end");
    checkTimeline(messages, ended.acks);
  });

  it("does not keep the service from ending, and what was answered is there after the next start", async () => {
    using temporary = temporaryDirectory();
    const { ended, refused } = await runOnFullDisk(temporary.path, "close");
    assert.equal(refused.serving, false);
    assert.equal(ended.unhandled, 0);
    assert.equal(ended.lines.length, 1);
    assert.ok(ended.acks.length > 0);
    checkTimeline(await readAll(temporary.path), ended.acks);
  });
});
