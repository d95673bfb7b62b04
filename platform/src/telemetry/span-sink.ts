/** Finished spans inside the process, for tests and for showing a trace live. */
import { SpanStatusCode } from "@opentelemetry/api";
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace";

/** A finished span as plain data. */
export type FinishedSpan = {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Undefined for the root of a trace. */
  readonly parentSpanId: string | undefined;
  /** Unix time in ms, with fractions. */
  readonly startTimeMs: number;
  readonly durationMs: number;
  readonly failed: boolean;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly { readonly name: string; readonly timeMs: number }[];
};

/** Gets every finished span. Called synchronously when a span ends, so it must be cheap and must not throw. */
export type SpanSink = { onSpan(span: FinishedSpan): void };

export type MemorySpanSink = SpanSink & {
  /** The spans kept, oldest first; with a trace id only those of that trace. */
  finished(traceId?: string): readonly FinishedSpan[];
  clear(): void;
};

/** Keeps the last `spansMax` spans (default 1,000); older ones are forgotten. */
export function createMemorySpanSink(options: { readonly spansMax?: number } = {}): MemorySpanSink {
  const { spansMax = 1000 } = options;
  let spans: FinishedSpan[] = [];
  return {
    onSpan(span) {
      spans.push(span);
      // Cut in one go when twice the limit is reached: dropping one by one would move the array each time.
      if (spans.length >= spansMax * 2) spans = spans.slice(-spansMax);
    },
    finished(traceId) {
      const kept = spans.slice(-spansMax);
      return traceId === undefined ? kept : kept.filter((span) => span.traceId === traceId);
    },
    clear() {
      spans = [];
    },
  };
}

/** The sink as the SDK's processor. */
export function sinkProcessor(sink: SpanSink): SpanProcessor {
  return {
    onStart: () => undefined,
    onEnd: (span) => sink.onSpan(toFinishedSpan(span)),
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
}

const toMs = ([seconds, nanos]: readonly [number, number]) => seconds * 1000 + nanos / 1e6;

function toFinishedSpan(span: ReadableSpan): FinishedSpan {
  const { traceId, spanId } = span.spanContext();
  return {
    name: span.name,
    traceId,
    spanId,
    parentSpanId: span.parentSpanContext?.spanId,
    startTimeMs: toMs(span.startTime),
    durationMs: toMs(span.duration),
    failed: span.status.code === SpanStatusCode.ERROR,
    attributes: span.attributes,
    events: span.events.map((event) => ({ name: event.name, timeMs: toMs(event.time) })),
  };
}
