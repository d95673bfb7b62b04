/**
 * Spans on their way to a collector. A collector that is slow, full or away costs spans and one line a
 * minute: never memory, never a message, and no more than a moment of a stop.
 */
import type { Context } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import {
  BatchSpanProcessor,
  type ReadableSpan,
  type Span,
  type SpanExporter,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace";
import { type Clock, systemClock } from "../clock.ts";
import type { Logger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";
import { runWithTraceContext } from "./trace-context.ts";

export type TraceExporterOptions = {
  /** Base URL of an OTLP/HTTP collector. */
  readonly endpoint: string;
  readonly log: Pick<Logger, "warn" | "info">;
  readonly metrics: Metrics;
  readonly clock?: Clock;
  /** How long one batch is tried, repetitions included, in ms; default 10,000. */
  readonly exportTimeoutMs?: number;
  /** How long a stop waits for the last spans, in ms; default 1,000. */
  readonly flushTimeoutMs?: number;
};

/** Spans that wait for the collector; more are dropped, because a slow collector must not cost memory. */
export const EXPORT_QUEUE_SPANS_MAX = 4096;
/** Longer than a collector takes to restart behind its proxy. */
const EXPORT_TIMEOUT_MS = 10_000;
/** A collector that answers takes a few ms; one that does not must not delay a stop that people wait for. */
const FLUSH_TIMEOUT_MS = 1000;
/** A collector that is away is one fact, however many batches fail. */
const REPORT_INTERVAL_MS = 60_000;

/** Creates the processor that sends spans. Throws TypeError for an endpoint that is no http(s) URL. */
export function createTraceExporter(options: TraceExporterOptions): SpanProcessor {
  const { exportTimeoutMs = EXPORT_TIMEOUT_MS, flushTimeoutMs = FLUSH_TIMEOUT_MS } = options;
  const url = urlOf(options.endpoint);
  const exporter = new OTLPTraceExporter({ url: url.href, timeoutMillis: exportTimeoutMs });
  const lost = options.metrics.counter(
    "parley_traces_lost_spans_total",
    "Spans that did not reach the collector: refused or unanswered (collector), or too many waited (queue).",
    ["cause"],
  );
  const report = createReport(options, url);
  let waiting = 0;

  const observed: SpanExporter = {
    export(spans, done) {
      exporter.export(spans, (result) => {
        waiting -= spans.length;
        if (result.code !== 0) lost.inc({ cause: "collector" }, spans.length);
        // The traced call that set the timer has nothing to do with these lines.
        runWithTraceContext(undefined, () => {
          if (result.code === 0) report.succeeded();
          else report.failed(spans.length, result.error);
        });
        done(result);
      });
    },
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
  const processor = new BatchSpanProcessor({
    exporter: observed,
    maxQueueSize: EXPORT_QUEUE_SPANS_MAX,
    // The exporter's own limit comes first, so that each batch has one outcome.
    exportTimeoutMillis: exportTimeoutMs * 2,
  });
  return {
    onStart: (span: Span, context: Context) => processor.onStart(span, context),
    onEnd(span: ReadableSpan) {
      if (waiting >= EXPORT_QUEUE_SPANS_MAX) {
        lost.inc({ cause: "queue" });
        return;
      }
      waiting += 1;
      processor.onEnd(span);
    },
    forceFlush: () => processor.forceFlush(),
    async shutdown() {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, flushTimeoutMs);
      // What fails is reported where it fails: a stop has nothing to add.
      await Promise.race([processor.shutdown().catch(() => undefined), late]);
      clearTimeout(timer);
    },
  };
}

function urlOf(endpoint: string): URL {
  const url = URL.parse(`${endpoint.replace(/\/+$/, "")}/v1/traces`);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(`${endpoint} is no http(s) URL such as http://localhost:4318`);
  }
  return url;
}

/** One line when the collector is lost, one a minute while it is, and one when it is back. */
function createReport({ log, clock = systemClock }: TraceExporterOptions, url: URL) {
  // A URL may carry credentials.
  const collector = `${url.origin}${url.pathname}`;
  let reportedMs: number | undefined;
  let lostSpans = 0;
  return {
    failed(spans: number, error: Error | undefined) {
      lostSpans += spans;
      const nowMs = clock.nowMs();
      if (reportedMs !== undefined && nowMs - reportedMs < REPORT_INTERVAL_MS) return;
      reportedMs = nowMs;
      log.warn(
        { collector, lost_spans: lostSpans, reason: reasonFor(error) },
        "Spans do not reach the trace collector; messages do not wait for it. Check PARLEY_TRACES_ENDPOINT.",
      );
      lostSpans = 0;
    },
    succeeded() {
      if (reportedMs === undefined) return;
      reportedMs = undefined;
      log.info({ collector, lost_spans: lostSpans }, "The trace collector takes spans again.");
      lostSpans = 0;
    },
  };
}

/** What went wrong in a few words; a refused connection to two addresses is an AggregateError without a text. */
function reasonFor(error: Error | undefined): string {
  if (error === undefined) return "unknown";
  const code = "code" in error ? String(error.code) : "";
  if (error.message === "") return code || error.name;
  return code === "" || error.message.includes(code) ? error.message : `${error.message} (${code})`;
}
