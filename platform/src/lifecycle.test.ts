import assert from "node:assert/strict";
import { test } from "node:test";
import { createLifecycle } from "./lifecycle.ts";
import { createSilentLogger } from "./telemetry/logger.ts";

function createRig() {
  const lifecycle = createLifecycle({ log: createSilentLogger() });
  const events: string[] = [];
  const add = (name: string) =>
    lifecycle.add({
      name,
      start: () => void events.push(`start ${name}`),
      drain: () => void events.push(`drain ${name}`),
      dispose: () => void events.push(`dispose ${name}`),
    });
  return { lifecycle, events, add };
}

test("steps start in order, drain and end in reverse order, each once", async () => {
  const { lifecycle, events, add } = createRig();
  add("a");
  add("b");
  await lifecycle.start();
  assert.equal(lifecycle.state, "ready");
  await lifecycle.drain(1000);
  assert.equal(lifecycle.state, "draining");
  await lifecycle[Symbol.asyncDispose]();
  await lifecycle[Symbol.asyncDispose]();
  assert.equal(lifecycle.state, "stopped");
  assert.deepEqual(events, ["start a", "start b", "drain b", "drain a", "dispose b", "dispose a"]);
});

test("health follows: not serving while starting, serving when ready, not from draining on", async () => {
  const { lifecycle } = createRig();
  assert.equal(lifecycle.health.serving, false);
  lifecycle.add({
    name: "store",
    start: () => assert.equal(lifecycle.health.get("store")?.serving, false),
  });
  await lifecycle.start();
  assert.equal(lifecycle.health.serving, true);
  await lifecycle.drain(10);
  assert.equal(lifecycle.health.serving, false);
  assert.match(lifecycle.health.get("process")?.reason ?? "", /draining/);
});

test("a part that finds out that it cannot serve is not made serving over its head", async () => {
  const { lifecycle } = createRig();
  lifecycle.add({ name: "store", start: () => lifecycle.health.set("store", false, "Read only.") });
  await lifecycle.start();
  assert.equal(lifecycle.health.get("store")?.reason, "Read only.");
});

test("when a step cannot start, everything is disposed of in reverse and the error is given", async () => {
  const { lifecycle, events, add } = createRig();
  add("a");
  lifecycle.add({ name: "b", start: () => Promise.reject(new Error("no disk")) });
  add("c");
  await assert.rejects(lifecycle.start(), /no disk/);
  assert.deepEqual(events, ["start a", "dispose c", "dispose a"]);
  assert.equal(lifecycle.state, "stopped");
});

test("a start that takes too long fails, and its signal aborts", async () => {
  const { lifecycle } = createRig();
  let aborted = false;
  lifecycle.add({
    name: "slow",
    startTimeoutMs: 10,
    start: (signal) =>
      new Promise(() =>
        signal.addEventListener("abort", () => {
          aborted = true;
        }),
      ),
  });
  await assert.rejects(lifecycle.start(), /starting slow took longer than 10 ms/);
  assert.equal(aborted, true);
});

test("a drain that is late or fails does not keep the others from draining", async () => {
  const { lifecycle, events, add } = createRig();
  add("a");
  lifecycle.add({ name: "late", drain: () => new Promise(() => undefined) });
  lifecycle.add({ name: "fails", drain: () => Promise.reject(new Error("no")) });
  await lifecycle.start();
  await lifecycle.drain(30);
  assert.deepEqual(events, ["start a", "drain a"]);
});

test("an end that fails or is late does not keep the others from ending", async () => {
  const { lifecycle, events, add } = createRig();
  add("a");
  lifecycle.add({
    name: "late",
    disposeTimeoutMs: 10,
    dispose: () => new Promise(() => undefined),
  });
  lifecycle.add({
    name: "fails",
    dispose: () => {
      throw new Error("no");
    },
  });
  await lifecycle.start();
  await lifecycle[Symbol.asyncDispose]();
  assert.deepEqual(events, ["start a", "dispose a"]);
});

test("a resource in use is disposed of with the rest", async () => {
  const { lifecycle } = createRig();
  let disposed = false;
  const resource = lifecycle.use("resource", {
    value: 5,
    [Symbol.asyncDispose]: async () => {
      disposed = true;
    },
  });
  assert.equal(resource.value, 5);
  await lifecycle.start();
  await lifecycle[Symbol.asyncDispose]();
  assert.equal(disposed, true);
});

test("steps come before the start, and a start comes once", async () => {
  const { lifecycle, add } = createRig();
  await lifecycle.start();
  assert.throws(() => add("late"), /ready/);
  await assert.rejects(lifecycle.start(), /ready/);
});
