import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemorySpanSink, type FinishedSpan } from "./span-sink.ts";

const span = (name: string, traceId = "a"): FinishedSpan => ({
  name,
  traceId,
  spanId: "1",
  parentSpanId: undefined,
  startTimeMs: 0,
  durationMs: 0,
  failed: false,
  attributes: {},
  events: [],
});

test("the last spans are kept, older ones forgotten", () => {
  const sink = createMemorySpanSink({ spansMax: 3 });
  for (let index = 0; index < 100; index++) sink.onSpan(span(`${index}`));
  assert.deepEqual(
    sink.finished().map(({ name }) => name),
    ["97", "98", "99"],
  );
  sink.clear();
  assert.equal(sink.finished().length, 0);
});

test("one trace can be asked for", () => {
  const sink = createMemorySpanSink();
  sink.onSpan(span("one", "a"));
  sink.onSpan(span("two", "b"));
  assert.deepEqual(
    sink.finished("b").map(({ name }) => name),
    ["two"],
  );
});
