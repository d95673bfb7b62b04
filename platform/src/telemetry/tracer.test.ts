import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { createSilentLogger } from "./logger.ts";
import { createMetrics } from "./metrics.ts";
import { createMemorySpanSink } from "./span-sink.ts";
import { currentTraceParent, parseTraceParent } from "./trace-context.ts";
import { createTracer, noopTracer } from "./tracer.ts";

const REMOTE_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const REMOTE_SPAN = "00f067aa0ba902b7";

const reports = { log: createSilentLogger(), metrics: createMetrics() };

function createRig(sampleRatio = 1) {
  const sink = createMemorySpanSink();
  return { sink, tracer: createTracer("test", { sampleRatio, sink }, reports) };
}

test("spans inside one another are a trace", async () => {
  const { sink, tracer } = createRig();
  await tracer.withSpan("outer", { attributes: { size: 3 } }, async (outer) => {
    assert.equal(currentTraceParent(), outer.traceParent);
    await new Promise((resolve) => setImmediate(resolve));
    tracer.withSpan("inner", { kind: "client" }, (span) => span.addEvent("sent"));
  });
  const [inner, outer] = sink.finished();
  assert.equal(outer?.name, "outer");
  assert.equal(outer?.parentSpanId, undefined);
  assert.deepEqual(outer?.attributes, { size: 3 });
  assert.equal(inner?.parentSpanId, outer?.spanId);
  assert.equal(inner?.traceId, outer?.traceId);
  assert.deepEqual(
    inner?.events.map(({ name }) => name),
    ["sent"],
  );
  assert.ok((outer?.durationMs ?? -1) >= (inner?.durationMs ?? 0));
  assert.ok(Math.abs((outer?.startTimeMs ?? 0) - Date.now()) < 60_000);
});

test("a span from elsewhere is the parent that it is given as", async () => {
  const { sink, tracer } = createRig(0);
  const parent = `00-${REMOTE_TRACE}-${REMOTE_SPAN}-01`;
  tracer.withSpan("child", { parent }, () => undefined);
  const child = sink.finished(REMOTE_TRACE)[0];
  assert.equal(child?.parentSpanId, REMOTE_SPAN);
  tracer.withParent(parent, () => tracer.startSpan("later").end());
  assert.equal(sink.finished()[1]?.parentSpanId, REMOTE_SPAN);
});

test("what is not sampled is not kept, and says so to the next hop", () => {
  const { sink, tracer } = createRig(0);
  tracer.withSpan("root", {}, (span) => {
    assert.equal(span.recording, false);
    assert.equal(parseTraceParent(currentTraceParent())?.sampled, false);
    tracer.withSpan("child", {}, () => undefined);
  });
  const unsampled = `00-${REMOTE_TRACE}-${REMOTE_SPAN}-00`;
  createRig(1).tracer.withSpan("child", { parent: unsampled }, (span) => {
    assert.equal(span.recording, false);
  });
  assert.equal(sink.finished().length, 0);
});

test("a share of the traces is kept", () => {
  const { sink, tracer } = createRig(0.5);
  for (let index = 0; index < 400; index++) tracer.withSpan("root", {}, () => undefined);
  // Beyond six standard deviations of a fair coin.
  assert.ok(sink.finished().length > 140 && sink.finished().length < 260);
});

test("what throws or rejects ends its span as failed, and is passed on", async () => {
  const { sink, tracer } = createRig();
  assert.throws(
    () =>
      tracer.withSpan("throws", {}, () => {
        throw new TypeError("private text");
      }),
    TypeError,
  );
  await assert.rejects(
    tracer.withSpan("rejects", {}, () => Promise.reject(new Error("private text"))),
  );
  assert.deepEqual(
    sink.finished().map(({ failed }) => failed),
    [true, true],
  );
  assert.doesNotMatch(JSON.stringify(sink.finished()), /private text/);
});

test("a tracer that keeps nothing still carries a parent on", () => {
  const parent = `00-${REMOTE_TRACE}-${REMOTE_SPAN}-01`;
  noopTracer.withSpan("x", { parent }, (span) => {
    assert.equal(span.recording, false);
    assert.equal(noopTracer.currentTraceParent(), parent);
  });
  assert.equal(noopTracer.currentTraceParent(), undefined);
});

test("spans reach an OTLP collector when the tracer is disposed of", async () => {
  const received = Promise.withResolvers<{ path: string | undefined; body: string }>();
  const collector = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    response.end("{}");
    received.resolve({ path: request.url, body });
  }).listen(0, "127.0.0.1");
  await once(collector, "listening");
  const otlpEndpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/`;
  const tracer = createTracer("exporter", { sampleRatio: 1, otlpEndpoint }, reports);
  tracer.withSpan("exported", {}, () => undefined);
  await tracer[Symbol.asyncDispose]();
  const { path, body } = await received.promise;
  collector.closeAllConnections();
  collector.close();
  assert.equal(path, "/v1/traces");
  assert.match(body, /exported/);
  assert.match(body, /exporter/);
});
