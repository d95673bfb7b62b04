import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execPath } from "node:process";
import { test } from "node:test";
import { LogLockedError } from "./errors.ts";
import { lockFile } from "./lock.ts";
import { createSegmentLog } from "./segment-log.ts";

const CHILD = new URL("./crash-child.ts", import.meta.url).pathname;

test("a lock excludes a second holder in the same process, and ends when it is disposed", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-lock-"));
  const path = join(directory, "lock");
  const lock = await lockFile(path, 0o600);
  await assert.rejects(lockFile(path, 0o600), LogLockedError);
  await lock[Symbol.asyncDispose]();
  const next = await lockFile(path, 0o600);
  await next[Symbol.asyncDispose]();
  await next[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

test("a holder that was refused in the same process does not end the lock for others", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-lock-"));
  const path = join(directory, "lock");
  const lock = await lockFile(path, 0o600);
  await assert.rejects(lockFile(path, 0o600), LogLockedError);
  const { status, stderr } = spawnSync(execPath, [CHILD, directory, "1"], { encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, /another process has this log open/);
  await lock[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

test("only its owner may read a log, whatever the process lets others read", async () => {
  const parent = await mkdtemp(join(tmpdir(), "parley-lock-"));
  const directory = join(parent, "data", "log");
  const before = process.umask(0o022);
  const log = await createSegmentLog({ directory, partitionCount: 4, onProblem: () => {} });
  await log.append("topic", 0, new Uint8Array([1]));
  await log[Symbol.asyncDispose]();
  process.umask(before);
  const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
  assert.equal(await modeOf(join(parent, "data")), 0o700);
  assert.equal(await modeOf(directory), 0o700);
  const names = await readdir(directory);
  assert.ok(names.length >= 3, "the lock, the identity, a segment");
  for (const name of names) assert.equal(await modeOf(join(directory, name)), 0o600, name);
  await rm(parent, { recursive: true });
});

test("a directory that another process has open is refused until that process is killed", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-lock-"));
  const child = spawn(execPath, [CHILD, directory, "1"], { stdio: ["ignore", "pipe", "ignore"] });
  await once(child.stdout, "data");
  const open = () => createSegmentLog({ directory, partitionCount: 4, onProblem: () => {} });
  await assert.rejects(open(), (error: unknown) => {
    assert.ok(error instanceof LogLockedError);
    assert.match(error.message, /another process has this log open/);
    return true;
  });
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
  const log = await open();
  await log[Symbol.asyncDispose]();
  assert.ok((await readdir(directory)).includes("lock"));
  await rm(directory, { recursive: true });
});
