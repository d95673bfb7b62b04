import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
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
  const lock = await lockFile(path);
  await assert.rejects(lockFile(path), LogLockedError);
  await lock[Symbol.asyncDispose]();
  const next = await lockFile(path);
  await next[Symbol.asyncDispose]();
  await next[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
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
