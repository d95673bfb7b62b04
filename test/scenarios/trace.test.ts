// A message leaves one trace through every hop: what the operator's tracing and the flow visualizer show is the message's
// own way, and no span holds what was written.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemorySpanSink, type FinishedSpan } from "@parley/platform/telemetry/span-sink";
import { eventually, nextText, openPerson } from "../harness/clients.ts";
import { startTestServer } from "../harness/server.ts";

const hops = [
  "gateway.receive",
  "message.append",
  "message.log",
  "message.apply",
  "message.store",
  "message.dispatch",
  "fanout.inbox",
  "fanout.lookup",
  "fanout.deliver",
  "gateway.deliver",
];

const secret = "nobody traces these words";

function check(spans: readonly FinishedSpan[]): void {
  const root = spans.find((span) => span.name === "gateway.receive");
  assert.ok(root);
  const ids = new Set(spans.map((span) => span.spanId));
  for (const span of spans) {
    if (span === root) continue;
    assert.ok(
      span.parentSpanId !== undefined && ids.has(span.parentSpanId),
      `${span.name} hangs in the air`,
    );
    assert.ok(
      span.startTimeMs >= root.startTimeMs - 1,
      `${span.name} began before the message came`,
    );
    assert.equal(span.failed, false, span.name);
  }
  assert.ok(!JSON.stringify(spans).includes(secret));
}

describe("the trace of a message", () => {
  for (const kind of ["direct", "group"] as const) {
    it(`has every hop, in a ${kind} conversation`, async () => {
      const sink = createMemorySpanSink();
      await using server = await startTestServer({ overrides: { spanSink: sink } });
      await using ana = await openPerson(server, "ana");
      await using ben = await openPerson(server, "ben");
      const benId = ben.account?.userId ?? "";
      const chat =
        kind === "direct" ? await ana.openDirect(benId) : await ana.createGroup("Traced", [benId]);
      sink.clear();
      const arrived = nextText(ben, secret);
      await chat.send(secret).result;
      await arrived;
      const traceOf = () => {
        const root = sink.finished().find((span) => span.name === "gateway.receive");
        return root ? sink.finished(root.traceId) : [];
      };
      const names = () => new Set(traceOf().map((span) => span.name));
      await eventually(`the trace has ${hops.filter((hop) => !names().has(hop))}`, () =>
        hops.every((hop) => names().has(hop)),
      );
      check(traceOf());
    });
  }
});
