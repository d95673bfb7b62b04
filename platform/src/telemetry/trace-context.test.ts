import assert from "node:assert/strict";
import { test } from "node:test";
import {
  currentTraceContext,
  currentTraceId,
  currentTraceParent,
  formatTraceParent,
  parseTraceParent,
  runWithTraceContext,
} from "./trace-context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
const SAMPLED = { traceId: TRACE, spanId: SPAN, sampled: true };

test("a context survives its W3C form", () => {
  for (const sampled of [true, false]) {
    const context = { ...SAMPLED, sampled };
    assert.deepEqual(parseTraceParent(formatTraceParent(context)), context);
  }
  assert.equal(formatTraceParent(SAMPLED), `00-${TRACE}-${SPAN}-01`);
});

test("a later version with more fields is read as far as it is known", () => {
  assert.deepEqual(parseTraceParent(`cc-${TRACE}-${SPAN}-09-more`), SAMPLED);
});

const malformed = [
  null,
  undefined,
  "",
  "00",
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE}-${SPAN}-01-more`,
  `ff-${TRACE}-${SPAN}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${"0".repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${"0".repeat(16)}-01`,
  `cc-${TRACE}-${SPAN}-01-${"x".repeat(1000)}`,
];
for (const text of malformed) {
  test(`${JSON.stringify(text)?.slice(0, 70)} is as if nothing was sent`, () => {
    assert.equal(parseTraceParent(text), undefined);
  });
}

test("the context follows what is called and awaited, and nothing else", async () => {
  assert.equal(currentTraceParent(), undefined);
  await runWithTraceContext(SAMPLED, async () => {
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(currentTraceContext(), SAMPLED);
    assert.equal(currentTraceId(), TRACE);
    runWithTraceContext(undefined, () => assert.equal(currentTraceParent(), undefined));
  });
  assert.equal(currentTraceContext(), undefined);
  runWithTraceContext({ ...SAMPLED, sampled: false }, () =>
    assert.equal(currentTraceId(), undefined),
  );
});
