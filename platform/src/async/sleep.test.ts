import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { sleep } from "./sleep.ts";

test("it resolves after its time and leaves no listener", async () => {
  const { signal } = new AbortController();
  await sleep(1, signal);
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("it rejects with the reason when the signal aborts, before or meanwhile", async () => {
  await assert.rejects(sleep(60_000, AbortSignal.abort(new Error("before"))), /before/);
  const controller = new AbortController();
  const sleeping = assert.rejects(sleep(60_000, controller.signal), /meanwhile/);
  controller.abort(new Error("meanwhile"));
  await sleeping;
});
