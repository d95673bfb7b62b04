import assert from "node:assert/strict";
import { test } from "node:test";
import { createHealth, renderHealth } from "./health.ts";

test("the whole serves while every component does", () => {
  const health = createHealth();
  assert.equal(health.serving, true);
  health.set("log", true);
  health.set("store", false, "The disk is full.");
  assert.equal(health.serving, false);
  assert.deepEqual(health.snapshot(), [
    { component: "log", serving: true, reason: "" },
    { component: "store", serving: false, reason: "The disk is full." },
  ]);
  health.set("store", true);
  assert.equal(health.serving, true);
  assert.equal(health.get("store")?.reason, "");
});

test("watchers hear of changes only, until they are disposed of", () => {
  const health = createHealth();
  let changes = 0;
  const watch = health.watch(() => changes++);
  health.set("a", true);
  health.set("a", true);
  assert.equal(changes, 1);
  health.set("a", false, "one");
  health.set("a", false, "two");
  assert.equal(changes, 3);
  health.remove("a");
  health.remove("a");
  assert.equal(changes, 4);
  watch[Symbol.dispose]();
  health.set("a", true);
  assert.equal(changes, 4);
});

test("what /readyz answers is JSON, one component per line, and begins with what is wrong", () => {
  const health = createHealth();
  assert.deepEqual(JSON.parse(renderHealth(health)), { serving: true, components: [] });
  health.set("gateway", true);
  health.set("log", false, 'The disk is full.\nReally "full".');
  const text = renderHealth(health);
  assert.deepEqual(text.split("\n"), [
    '{"serving":false,"components":[',
    '{"component":"log","serving":false,"reason":"The disk is full.\\nReally \\"full\\"."},',
    '{"component":"gateway","serving":true,"reason":""}',
    "]}",
    "",
  ]);
  assert.equal(JSON.parse(text).components.length, 2);
});
