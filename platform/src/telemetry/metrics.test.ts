import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "./metrics.ts";

test("counters, gauges and histograms appear in the text", async () => {
  const metrics = createMetrics();
  metrics.counter("parley_things_total", "Things.", ["kind"]).inc({ kind: "a" }, 2);
  metrics.gauge("parley_open", "Open.").set(7);
  metrics.histogram("parley_wait_seconds", "Waiting.", [], [1, 2]).observe(1.5);
  const text = await metrics.renderMetrics();
  assert.match(text, /parley_things_total\{kind="a"\} 2/);
  assert.match(text, /parley_open 7/);
  assert.match(text, /parley_wait_seconds_bucket\{le="2"\} 1/);
  assert.match(metrics.contentType, /text\/plain/);
});

test("a gauge can be read at the moment it is asked for", async () => {
  const metrics = createMetrics();
  let size = 1;
  metrics.gauge("parley_size", "Size.", [], (gauge) => gauge.set(size));
  size = 5;
  assert.match(await metrics.renderMetrics(), /parley_size 5/);
});

test("the same name is the same metric; another kind under it, or a foreign name, is refused", () => {
  const metrics = createMetrics();
  const first = metrics.counter("parley_things_total", "Things.");
  assert.equal(metrics.counter("parley_things_total", "Things."), first);
  assert.throws(() => metrics.gauge("parley_things_total", "Things."), /is no Gauge/);
  assert.throws(() => metrics.counter("things_total", "Things."), /parley_/);
});

test("two registries do not see each other; Node's own figures are there when asked for", async () => {
  const plain = createMetrics();
  const full = createMetrics({ process: true });
  plain.counter("parley_things_total", "Things.");
  assert.doesNotMatch(await full.renderMetrics(), /parley_things_total/);
  assert.match(await full.renderMetrics(), /parley_process_resident_memory_bytes/);
  assert.doesNotMatch(await plain.renderMetrics(), /resident_memory/);
});
