import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import { createProcessOutput } from "./process-output.ts";

test("an output that breaks does not trouble who writes to it", async () => {
  const broken = new Writable({
    autoDestroy: false,
    write: (_chunk, _encoding, done) => done(new Error("EPIPE")),
  });
  const output = createProcessOutput(broken);
  const failed = new Promise((resolve) => broken.once("error", resolve));
  output.write("one\n");
  await failed;
  output.write("two\n");
  await new Promise((next) => setImmediate(next));
  createProcessOutput({
    write: () => {
      throw new Error("ENOSPC");
    },
  }).write("three\n");
});

test("a reader that stands still costs bounded memory, and learns what it missed", async () => {
  const taken: string[] = [];
  const waiting: (() => void)[] = [];
  const slow = new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      taken.push(String(chunk));
      waiting.push(done);
    },
  });
  const output = createProcessOutput(slow);
  const line = `${"x".repeat(1023)}\n`;
  for (let count = 0; count < 5000; count++) output.write(line);
  assert.ok(slow.writableLength <= 1024 * 1024 + line.length, `${slow.writableLength}`);
  const kept = Math.round(slow.writableLength / line.length);
  while (slow.writableLength > 0) {
    waiting.shift()?.();
    await new Promise((next) => setImmediate(next));
  }
  output.write("after\n");
  output.write("all\n");
  while (slow.writableLength > 0) {
    waiting.shift()?.();
    await new Promise((next) => setImmediate(next));
  }
  assert.deepEqual(taken.slice(-3), [
    `${5000 - kept} lines were left out here, because nobody read them.\n`,
    "after\n",
    "all\n",
  ]);
});
