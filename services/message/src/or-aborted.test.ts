import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { orAborted } from "./or-aborted.ts";

test("the first of both decides, and leaves nothing behind", async () => {
  const stopping = new AbortController();
  const { signal } = stopping;
  assert.equal(await orAborted(Promise.resolve(1), signal), 1);
  await assert.rejects(orAborted(Promise.reject(new Error("failed")), signal), /failed/);
  const never = orAborted(new Promise(() => undefined), signal);
  assert.equal(getEventListeners(signal, "abort").length, 1);
  stopping.abort(new Error("stopped"));
  await assert.rejects(never, /stopped/);
  assert.equal(getEventListeners(signal, "abort").length, 0);
  assert.equal(await orAborted(Promise.resolve(2), signal), 2, "what is there is taken");
  await assert.rejects(orAborted(new Promise(() => undefined), signal), /stopped/);
});
