/** Spans across every hop, on OpenTelemetry's SDK, without its global state. */
import {
  ROOT_CONTEXT,
  type Span as SdkSpan,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AlwaysOnSampler, type SpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import type { Logger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";
import { type SpanSink, sinkProcessor } from "./span-sink.ts";
import {
  currentTraceContext,
  currentTraceParent,
  formatTraceParent,
  parseTraceParent,
  runWithTraceContext,
  type TraceContext,
} from "./trace-context.ts";
import { createTraceExporter } from "./trace-exporter.ts";

export type AttributeValue = string | number | boolean;
export type Attributes = Readonly<Record<string, AttributeValue>>;

export type Span = {
  /** What to send along so that the other side's spans become children of this one. */
  readonly traceParent: string | undefined;
  /** False when nothing is kept; for attributes that are dear to make. */
  readonly recording: boolean;
  setAttribute(name: string, value: AttributeValue): void;
  addEvent(name: string, attributes?: Attributes): void;
  /** Marks the span as failed. The text must not hold personal data or content. */
  fail(description: string): void;
  end(): void;
};

export type SpanOptions = {
  /** The `traceparent` of the span that caused this one; default: the present span. */
  readonly parent?: string | undefined;
  readonly kind?: "internal" | "server" | "client" | "producer" | "consumer";
  readonly attributes?: Attributes;
  /** Unix time in ms when what the span describes began, if not now. */
  readonly startTimeMs?: number;
};

export type Tracer = {
  /** Runs `fn` inside a new span, which ends when `fn` returns or its promise settles; a throw marks it failed. */
  withSpan<T>(name: string, options: SpanOptions, fn: (span: Span) => T): T;
  /** A span that the caller ends; it is not the present one of anything. */
  startSpan(name: string, options?: SpanOptions): Span;
  /** Runs `fn` as part of a span from elsewhere, without a span of its own. */
  withParent<T>(traceParent: string | undefined, fn: () => T): T;
  /** The present span's `traceparent`. */
  currentTraceParent(): string | undefined;
};

export type TracingOptions = {
  /** Base URL of an OTLP/HTTP collector, such as `http://localhost:4318`. */
  readonly otlpEndpoint?: string | undefined;
  /** Share of traces that start here and are kept, 0 to 1. A parent's own decision wins. */
  readonly sampleRatio: number;
  /** Gets every finished span that is kept, in this process. */
  readonly sink?: SpanSink | undefined;
};

/** Where it is told that a collector does not take spans. */
export type TracingReports = { readonly log: Logger; readonly metrics: Metrics };

const NOOP_SPAN: Span = {
  traceParent: undefined,
  recording: false,
  setAttribute: () => undefined,
  addEvent: () => undefined,
  fail: () => undefined,
  end: () => undefined,
};

/** A tracer that keeps nothing, and still carries a parent's context on. */
export const noopTracer: Tracer = {
  withSpan: (_name, options, fn) =>
    withContext(parseTraceParent(options.parent), () => fn(NOOP_SPAN)),
  startSpan: () => NOOP_SPAN,
  withParent: (traceParent, fn) => withContext(parseTraceParent(traceParent), fn),
  currentTraceParent,
};

/**
 * The context of everything that was not sampled. One for the process: it only says "do not sample" to
 * the next hop, and a fresh id for each would cost more than the call it stands for.
 */
const UNSAMPLED: TraceContext = {
  traceId: "ffffffffffffffffffffffffffffffff",
  spanId: "ffffffffffffffff",
  sampled: false,
};

/** Creates a tracer; without a collector, a sink and a ratio it is `noopTracer`. */
export function createTracer(
  serviceName: string,
  options: TracingOptions | undefined,
  reports: TracingReports,
): Tracer & AsyncDisposable {
  const processors = options === undefined ? [] : processorsOf(options, reports);
  if (options === undefined || processors.length === 0) {
    return { ...noopTracer, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": serviceName }),
    sampler: new AlwaysOnSampler(),
    spanProcessors: processors,
  });
  const sdk = provider.getTracer("parley");

  const start = (name: string, given: SpanOptions): Span | undefined => {
    const parent = parseTraceParent(given.parent) ?? currentTraceContext();
    const sampled = parent?.sampled ?? Math.random() < options.sampleRatio;
    if (!sampled) return undefined;
    const context = parent === undefined ? ROOT_CONTEXT : contextOf(parent);
    return createSpan(
      sdk.startSpan(
        name,
        {
          kind: SPAN_KINDS[given.kind ?? "internal"],
          ...(given.attributes === undefined ? {} : { attributes: given.attributes }),
          ...(given.startTimeMs === undefined ? {} : { startTime: given.startTimeMs }),
        },
        context,
      ),
    );
  };

  return {
    withSpan(name, given, fn) {
      const span = start(name, given);
      if (span === undefined) return withContext(UNSAMPLED, () => fn(NOOP_SPAN));
      return runWithTraceContext(parseTraceParent(span.traceParent), () => endAfter(span, fn));
    },
    startSpan: (name, given = {}) => start(name, given) ?? NOOP_SPAN,
    withParent: (traceParent, fn) => withContext(parseTraceParent(traceParent), fn),
    currentTraceParent,
    [Symbol.asyncDispose]: () => provider.shutdown(),
  };
}

const SPAN_KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

function processorsOf(options: TracingOptions, reports: TracingReports): SpanProcessor[] {
  const processors: SpanProcessor[] = [];
  const { otlpEndpoint: endpoint } = options;
  if (endpoint !== undefined) processors.push(createTraceExporter({ endpoint, ...reports }));
  if (options.sink !== undefined) processors.push(sinkProcessor(options.sink));
  return processors;
}

/** Sets the context only when it differs: entering one costs more than looking. */
function withContext<T>(context: TraceContext | undefined, fn: () => T): T {
  if (context === undefined || currentTraceContext() === context) return fn();
  return runWithTraceContext(context, fn);
}

function contextOf(parent: TraceContext) {
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId: parent.traceId,
    spanId: parent.spanId,
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
  });
}

function createSpan(span: SdkSpan): Span {
  const { traceId, spanId } = span.spanContext();
  return {
    traceParent: formatTraceParent({ traceId, spanId, sampled: true }),
    recording: true,
    setAttribute: (name, value) => void span.setAttribute(name, value),
    addEvent: (name, attributes) => void span.addEvent(name, attributes),
    fail: (message) => void span.setStatus({ code: SpanStatusCode.ERROR, message }),
    end: () => span.end(),
  };
}

function endAfter<T>(span: Span, fn: (span: Span) => T): T {
  try {
    const result = fn(span);
    if (!(result instanceof Promise)) {
      span.end();
      return result;
    }
    return result.then(
      (value: unknown) => {
        span.end();
        return value;
      },
      (error: unknown) => {
        span.fail(nameOf(error));
        span.end();
        throw error;
      },
    ) as T;
  } catch (error) {
    span.fail(nameOf(error));
    span.end();
    throw error;
  }
}

/** Only the kind of error: its text may quote what a person wrote. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
