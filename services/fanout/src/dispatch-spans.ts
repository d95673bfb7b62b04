/** Spans of a batch's entries. Entries that are not sampled carry no trace parent, and cost one comparison. */
import type { FanoutEntry } from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import type { Span, Tracer } from "@parley/platform/telemetry/tracer";

const NONE: readonly Span[] = [];

/** Begins a span for each sampled entry; children of what brought the entry here. */
export function startSpans(
  tracer: Pick<Tracer, "startSpan">,
  name: "fanout.inbox" | "fanout.lookup" | "fanout.deliver",
  entries: readonly FanoutEntry[],
): readonly Span[] {
  let spans: Span[] | undefined;
  for (const { traceParent, seq } of entries) {
    if (traceParent === "") continue;
    spans ??= [];
    const attributes = { "parley.seq": Number(seq) };
    spans.push(tracer.startSpan(name, { parent: traceParent, attributes }));
  }
  return spans ?? NONE;
}

export function endSpans(spans: readonly Span[]): void {
  for (const span of spans) span.end();
}
