import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { createLmdbCommit, openLmdb } from "./lmdb.ts";
import type { FullDiskReport } from "./testing/commit-on-full-disk.ts";

function temporaryDirectory() {
  const path = mkdtempSync(join(tmpdir(), "parley-lmdb-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

const script = new URL("./testing/commit-on-full-disk.ts", import.meta.url).pathname;

/** Blocks of 512 bytes that a file may have. */
const FILE_BLOCKS_MAX = 600;

/** Only this lifts the limit of another process; it is not there on every system. */
const canLift = spawnSync("prlimit", ["--version"]).status === 0;

describe("LMDB", () => {
  it("creates what only its owner may read, also above it", async () => {
    using temporary = temporaryDirectory();
    const directory = join(temporary.path, "data.d", "store");
    const before = process.umask(0o022);
    const root = openLmdb<string>(directory, { keys: "text", remedy: "restore it" });
    process.umask(before);
    await createLmdbCommit(root)(() => void root.put("key", Buffer.from("value")));
    const modeOf = (path: string) => statSync(path).mode & 0o777;
    assert.equal(modeOf(join(temporary.path, "data.d")), 0o700);
    assert.equal(modeOf(directory), 0o700);
    const files = readdirSync(directory).sort();
    assert.deepEqual(files, ["data.mdb", "lock.mdb"]);
    for (const name of files) assert.equal(modeOf(join(directory, name)), 0o600, name);
    await root.close();
  });

  it("lets commits take their turn: each sees what those before it left", async () => {
    using temporary = temporaryDirectory();
    const root = openLmdb<string>(temporary.path, { keys: "text", remedy: "restore it" });
    const commit = createLmdbCommit(root);
    const seen: (number | undefined)[] = [];
    const count = () => {
      const before = root.get("count")?.readUInt8(0);
      seen.push(before);
      root.put("count", Buffer.from([(before ?? 0) + 1]));
    };
    await Promise.all([commit(count), commit(count), commit(count)]);
    assert.deepEqual(seen, [undefined, 1, 2]);
    await root.close();
  });

  it("goes on after a write that threw", async () => {
    using temporary = temporaryDirectory();
    const root = openLmdb<Buffer>(temporary.path, { keys: "bytes", remedy: "restore it" });
    const commit = createLmdbCommit(root);
    const bug = new Error("a bug");
    const failing = commit(() => {
      throw bug;
    });
    const key = Buffer.from([1, 2]);
    const after = commit(() => void root.put(key, Buffer.from("value")));
    await assert.rejects(failing, bug);
    await after;
    assert.equal(root.get(key)?.toString(), "value");
    await root.close();
  });

  it("fails on a full disk like any other write, undoes it, and works again when there is room", {
    skip: canLift ? false : "there is no prlimit on this system to give the room back with",
  }, async () => {
    using temporary = temporaryDirectory();
    const command = `ulimit -S -f ${FILE_BLOCKS_MAX}; exec "$0" "$@"`;
    const child = spawn("/bin/sh", ["-c", command, process.execPath, script, temporary.path], {
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
    assert.ok(ended !== undefined && ended.committed > 0);
    assert.equal(ended.failures, 3);
    assert.equal(ended.unhandled, 0);
    assert.equal(ended.stored, ended.committed, "nothing of a commit that failed is there");
    assert.ok((stderr.match(/Error:/g) ?? []).length <= 1, stderr);
    const root = openLmdb<string>(temporary.path, { keys: "text", remedy: "restore it" });
    assert.equal(root.getKeysCount({}), ended.committed + 1);
    await root.close();
  });
});
