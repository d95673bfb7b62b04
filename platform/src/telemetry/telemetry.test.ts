import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemorySpanSink } from "./span-sink.ts";
import { createTelemetry, silentTelemetry } from "./telemetry.ts";

test("logs, metrics and spans of one process go where they were told to", async () => {
  const lines: string[] = [];
  const sink = createMemorySpanSink();
  await using telemetry = createTelemetry({
    serviceName: "test",
    logLevel: "info",
    logFormat: "json",
    logDestination: { write: (line) => lines.push(line) },
    tracing: { sampleRatio: 1, sink },
    showPersonal: false,
  });
  telemetry.tracer.withSpan("work", {}, () => telemetry.log.info("Worked."));
  telemetry.metrics.counter("parley_work_total", "Work.").inc();
  assert.match(lines[0] ?? "", new RegExp(sink.finished()[0]?.traceId ?? "no span"));
  assert.match(await telemetry.metrics.renderMetrics(), /parley_work_total 1/);
});

test("silent telemetry writes nothing and counts", async () => {
  await using telemetry = silentTelemetry();
  telemetry.log.error("nothing");
  telemetry.metrics.counter("parley_work_total", "Work.").inc();
  assert.match(await telemetry.metrics.renderMetrics(), /parley_work_total 1/);
  assert.equal(telemetry.tracer.currentTraceParent(), undefined);
});
