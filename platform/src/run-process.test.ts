import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { parseInteger, SettingError } from "./config.ts";
import { readSettings, runProcess } from "./run-process.ts";
import { createSilentLogger } from "./telemetry/logger.ts";

function createRig(options: { drain?: () => Promise<void>; start?: () => Promise<never> } = {}) {
  const events: string[] = [];
  const emitter = new EventEmitter();
  const exited = Promise.withResolvers<number>();
  const host = Object.assign(emitter, { exit: (code: number) => exited.resolve(code) });
  const started = Promise.withResolvers<void>();
  const notices: string[] = [];
  const ended = runProcess({
    host,
    log: createSilentLogger(),
    notices: { write: (line) => notices.push(line) },
    drainMs: 1000,
    start:
      options.start ??
      (async () => {
        started.resolve();
        return {
          drain: async (deadlineMs) => {
            events.push(`drain ${deadlineMs}`);
            await options.drain?.();
          },
          [Symbol.asyncDispose]: async () => void events.push("dispose"),
        };
      }),
  });
  return { emitter, events, notices, exited: exited.promise, started: started.promise, ended };
}

for (const signal of ["SIGTERM", "SIGINT"]) {
  test(`${signal} drains, disposes and exits with 0`, async () => {
    const { emitter, events, exited, started, ended } = createRig();
    await started;
    emitter.emit(signal, signal);
    assert.equal(await exited, 0);
    assert.deepEqual(events, ["drain 1000", "dispose"]);
    await ended;
    assert.equal(emitter.listenerCount(signal), 0);
  });
}

test("a second signal exits at once", async () => {
  const { emitter, exited, started } = createRig({ drain: () => new Promise(() => undefined) });
  await started;
  emitter.emit("SIGTERM", "SIGTERM");
  emitter.emit("SIGTERM", "SIGTERM");
  assert.equal(await exited, 130);
});

test("an error that nobody caught ends the process in order, with 1", async () => {
  const { emitter, events, exited, started } = createRig();
  await started;
  emitter.emit("uncaughtException", new Error("bug"));
  assert.equal(await exited, 1);
  assert.deepEqual(events, ["drain 1000", "dispose"]);
});

test("a process that cannot start exits with 1", async () => {
  const { exited } = createRig({ start: () => Promise.reject(new Error("no port")) });
  assert.equal(await exited, 1);
});

test("a drain that fails still disposes, and exits with 1", async () => {
  const { emitter, events, exited, started } = createRig({
    drain: () => Promise.reject(new Error("no")),
  });
  await started;
  emitter.emit("SIGTERM", "SIGTERM");
  assert.equal(await exited, 1);
  assert.deepEqual(events, ["drain 1000", "dispose"]);
});

test("a setting that does not work here is told in one line, without a stack", async () => {
  const error = new SettingError(
    "PARLEY_PORT",
    "PARLEY_PORT is 80, and that is taken: choose another.",
  );
  const { exited, notices } = createRig({ start: () => Promise.reject(error) });
  assert.equal(await exited, 1);
  assert.deepEqual(notices, ["PARLEY_PORT is 80, and that is taken: choose another.\n"]);
  const other = createRig({ start: () => Promise.reject(new Error("bug")) });
  assert.equal(await other.exited, 1);
  assert.deepEqual(other.notices, [], "what is no setting goes to the log");
});

test("a variable that is wrong is told in one line; any other error is thrown", () => {
  const notices: string[] = [];
  const output = { write: (line: string) => notices.push(line) };
  assert.equal(
    readSettings(() => 3, output),
    3,
  );
  assert.equal(
    readSettings(() => parseInteger("PARLEY_PORT", "x"), output),
    undefined,
  );
  assert.deepEqual(notices, ['PARLEY_PORT is "x"; expected a whole number\n']);
  assert.throws(() => readSettings(() => assert.fail("bug"), output), /bug/);
});
