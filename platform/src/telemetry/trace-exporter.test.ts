import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { AlwaysOnSampler, TracerProvider } from "@opentelemetry/sdk-trace";
import { createManualClock } from "../clock.ts";
import { createLogger } from "./logger.ts";
import { createMetrics } from "./metrics.ts";
import { createTelemetry } from "./telemetry.ts";
import { parseTraceParent, runWithTraceContext } from "./trace-context.ts";
import { createTraceExporter, EXPORT_QUEUE_SPANS_MAX } from "./trace-exporter.ts";

/** What a stop waits for the collector here; it is done well before the exporter gives up by itself. */
const FLUSH_MS = 100;
const GIVES_UP_MS = 2000;
/** Between the two, with room for a busy machine. */
const AT_ONCE_MS = 700;

const TRACED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async function createCollector(listener: RequestListener) {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://user:password@127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** An address where nobody listens. */
async function closedEndpoint(): Promise<string> {
  const collector = await createCollector(() => undefined);
  await collector[Symbol.asyncDispose]();
  return collector.endpoint;
}

/** By default no batch is tried twice: the exporter's first pause is longer than its time. */
function createRig(endpoint: string, exportTimeoutMs = 300) {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => lines.push(JSON.parse(line)) };
  const log = createLogger({ serviceName: "test", level: "info", format: "json", destination });
  const metrics = createMetrics();
  const clock = createManualClock();
  const timeouts = { exportTimeoutMs, flushTimeoutMs: FLUSH_MS };
  const processor = createTraceExporter({ endpoint, log, metrics, clock, ...timeouts });
  const provider = new TracerProvider({
    sampler: new AlwaysOnSampler(),
    spanProcessors: [processor],
  });
  const tracer = provider.getTracer("test");
  return {
    clock,
    lines,
    end: (count: number) => {
      for (let i = 0; i < count; i++) tracer.startSpan("work").end();
    },
    /** Sends what waits; whether that works is what is reported. */
    flush: () => processor.forceFlush().catch(() => undefined),
    shutdown: () => provider.shutdown(),
    async lost(cause: string) {
      const text = await metrics.renderMetrics();
      const name = `parley_traces_lost_spans_total{cause="${cause}"} `;
      const line = text.split("\n").find((candidate) => candidate.startsWith(name));
      return Number(line?.slice(name.length) ?? 0);
    },
  };
}

test("a collector that is away: one line a minute, every span counted, and a line when it is back", async () => {
  let up = false;
  await using collector = await createCollector((request, response) => {
    request.resume();
    response.statusCode = up ? 200 : 400;
    response.end();
  });
  const rig = createRig(collector.endpoint);
  for (const count of [3, 2]) {
    rig.end(count);
    await rig.flush();
  }
  assert.equal(rig.lines.length, 1, JSON.stringify(rig.lines));
  const [first] = rig.lines;
  assert.equal(first?.level, "warn");
  assert.equal(first?.lost_spans, 3);
  assert.match(String(first?.msg), /PARLEY_TRACES_ENDPOINT/);
  assert.match(String(first?.collector), /^http:\/\/127\.0\.0\.1:\d+\/v1\/traces$/);
  assert.doesNotMatch(JSON.stringify(rig.lines), /password/);
  assert.equal(await rig.lost("collector"), 5);

  rig.clock.advance(60_000);
  rig.end(4);
  await rig.flush();
  assert.equal(rig.lines.length, 2);
  assert.equal(rig.lines[1]?.lost_spans, 6, "those since the last line");

  up = true;
  for (let round = 0; round < 2; round++) {
    rig.end(1);
    await rig.flush();
  }
  assert.deepEqual(
    rig.lines.slice(2).map(({ level, msg }) => [level, msg]),
    [["info", "The trace collector takes spans again."]],
  );
  await rig.shutdown();
});

test("a closed port is named, and delays neither those who work nor a stop", async () => {
  const rig = createRig(await closedEndpoint());
  const startMs = performance.now();
  rig.end(100);
  assert.ok(performance.now() - startMs < AT_ONCE_MS);
  await runWithTraceContext(parseTraceParent(TRACED), () => rig.flush());
  assert.equal(rig.lines[0]?.trace_id, undefined, "the line belongs to no trace");
  assert.match(String(rig.lines[0]?.reason), /ECONNREFUSED/);
  assert.equal(await rig.lost("collector"), 100);
  const patient = createRig(await closedEndpoint(), GIVES_UP_MS);
  patient.end(1);
  const stopMs = performance.now();
  await patient.shutdown();
  assert.ok(performance.now() - stopMs < AT_ONCE_MS, "the stop does not wait for repetitions");
});

test("a collector that takes a connection and never answers does not delay a stop", async () => {
  const asked = Promise.withResolvers<void>();
  await using collector = await createCollector(() => asked.resolve());
  const rig = createRig(collector.endpoint, GIVES_UP_MS);
  rig.end(1);
  const flushing = rig.flush();
  await asked.promise;
  const stopMs = performance.now();
  await rig.shutdown();
  assert.ok(performance.now() - stopMs < AT_ONCE_MS);
  await flushing;
  assert.equal(await rig.lost("collector"), 1);
});

test("spans beyond the queue are dropped and counted", async () => {
  const rig = createRig(await closedEndpoint());
  rig.end(EXPORT_QUEUE_SPANS_MAX + 10);
  assert.equal(await rig.lost("queue"), 10);
  // A flush ends with the first batch that fails; the others are still on their way then.
  while ((await rig.lost("collector")) < EXPORT_QUEUE_SPANS_MAX) {
    await rig.flush();
    await nextTurn();
  }
  rig.end(1);
  assert.equal(await rig.lost("queue"), 10, "there is room again");
  await rig.shutdown();
});

test("telemetry counts what its collector loses", async () => {
  await using telemetry = createTelemetry({
    serviceName: "test",
    logLevel: "info",
    logFormat: "json",
    showPersonal: false,
    tracing: { otlpEndpoint: await closedEndpoint(), sampleRatio: 1 },
  });
  assert.match(await telemetry.metrics.renderMetrics(), /TYPE parley_traces_lost_spans_total/);
});

test("an endpoint that is no URL is refused at the start", () => {
  for (const endpoint of ["localhost:4318", "collector", "ftp://localhost"]) {
    assert.throws(() => createRig(endpoint), /is no http\(s\) URL/, endpoint);
  }
});
