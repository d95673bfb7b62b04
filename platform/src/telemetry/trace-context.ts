/**
 * The present span, carried along asynchronous calls, and its W3C form (Trace Context, `traceparent`:
 * `00-<32 hex trace id>-<16 hex span id>-<2 hex flags>`).
 */
import { AsyncLocalStorage } from "node:async_hooks";

export type TraceContext = {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string;
  readonly sampled: boolean;
};

const storage = new AsyncLocalStorage<TraceContext | undefined>();

/** Runs `fn` with `context` as the present one for everything that it calls and awaits. */
export function runWithTraceContext<T>(context: TraceContext | undefined, fn: () => T): T {
  return storage.run(context, fn);
}

/** The present span's context; undefined outside of every span. */
export function currentTraceContext(): TraceContext | undefined {
  return storage.getStore();
}

/** The `traceparent` to send along with a call or a record; undefined outside of every span. */
export function currentTraceParent(): string | undefined {
  const context = storage.getStore();
  return context === undefined ? undefined : formatTraceParent(context);
}

/** The trace that a log line belongs to; undefined when it is not sampled, because nobody could look it up. */
export function currentTraceId(): string | undefined {
  const context = storage.getStore();
  return context?.sampled === true ? context.traceId : undefined;
}

export function formatTraceParent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? "01" : "00"}`;
}

const TRACE_PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The context in a `traceparent`; undefined when it is missing or malformed (it is then as if not sent). */
export function parseTraceParent(text: string | null | undefined): TraceContext | undefined {
  if (text === null || text === undefined || text.length > 128) return undefined;
  const match = TRACE_PARENT.exec(text);
  if (match === null) return undefined;
  const [, version, traceId, spanId, flags, rest] = match;
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}
