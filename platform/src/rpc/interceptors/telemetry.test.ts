import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { Volume } from "@parley/gen/parley/internal/testing/v1/echo_pb";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import type { LogLevel } from "../../telemetry/logger.ts";
import { createMemorySpanSink } from "../../telemetry/span-sink.ts";
import { createTelemetry } from "../../telemetry/telemetry.ts";
import { createInProcessTransport } from "../in-process-host.ts";
import { createEchoRoutes, SECRET_CAUSE } from "../testing/echo-routes.ts";
import { refusalOf } from "../testing/refusal-of.ts";
import { standardInterceptors } from "./standard.ts";
import { codeName } from "./telemetry.ts";

const RPC = "parley.internal.testing.v1.EchoService";

function createRig(logLevel: LogLevel = "debug") {
  const lines: Record<string, unknown>[] = [];
  const sink = createMemorySpanSink();
  const telemetry = createTelemetry({
    serviceName: "test",
    logLevel,
    logFormat: "json",
    logDestination: { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
    tracing: { sampleRatio: 1, sink },
    showPersonal: false,
  });
  const asCaller = { kind: "device", userId: "u-1", deviceId: "d-1", expireTimeMs: 4e12 } as const;
  const { routes } = createEchoRoutes();
  const interceptors = standardInterceptors(telemetry);
  const client = createClient(
    EchoService,
    createInProcessTransport({ routes, interceptors, asCaller }),
  );
  return { client, lines, sink, metrics: () => telemetry.metrics.renderMetrics() };
}

test("a call that succeeds is counted and timed, and not logged", async () => {
  const { client, lines, sink, metrics } = createRig();
  await client.change({ instruction: "" });
  const text = await metrics();
  assert.match(text, new RegExp(`calls_total\\{rpc="${RPC}/Change",code="ok",reason=""\\} 1`));
  assert.match(text, new RegExp(`duration_seconds_count\\{rpc="${RPC}/Change"\\} 1`));
  assert.deepEqual(lines, []);
  assert.deepEqual(
    sink.finished().map(({ name, failed }) => ({ name, failed })),
    [{ name: `${RPC}/Change`, failed: false }],
  );
});

test("a refusal is counted by code and reason, on the span, and logged quietly with who and what", async () => {
  const { client, lines, sink, metrics } = createRig();
  await refusalOf(client.change({ instruction: "refuse" }));
  assert.match(await metrics(), /code="failed_precondition",reason="WRONG_MOMENT"\} 1/);
  const [span] = sink.finished();
  assert.equal(span?.failed, true);
  assert.equal(span?.attributes["rpc.reason"], "WRONG_MOMENT");
  const { time: _time, ...line } = lines[0] ?? {};
  assert.deepEqual(line, {
    level: "debug",
    service: "test",
    trace_id: span?.traceId,
    rpc: `${RPC}/Change`,
    code: "failed_precondition",
    reason: "WRONG_MOMENT",
    caller: "device",
    user_id: "u-1",
    device_id: "d-1",
    request: { instruction: "refuse" },
    msg: "A call failed.",
  });
});

test("a bug is logged loudly, with its cause", async () => {
  const { client, lines } = createRig("error");
  await refusalOf(client.change({ instruction: "throw" }));
  assert.equal(lines[0]?.level, "error");
  assert.equal((lines[0]?.error as { message?: string } | undefined)?.message, SECRET_CAUSE);
});

test("a part that is down or late is a warning", async () => {
  const { client, lines } = createRig("warn");
  await refusalOf(client.change({ instruction: "unavailable" }));
  await refusalOf(client.change({ instruction: "wait" }, { timeoutMs: 10 }));
  await refusalOf(client.change({ instruction: "refuse" }));
  assert.deepEqual(
    lines.map(({ level, code }) => [level, code]),
    [
      ["warn", "unavailable"],
      ["warn", "deadline_exceeded"],
    ],
  );
});

test("a logged request shows nothing that the contract hides", async () => {
  const { client, lines } = createRig();
  const saying = {
    text: "",
    volume: Volume.QUIET,
    payload: new TextEncoder().encode("dear diary"),
    token: "t0k3n",
    authorName: "Zoë",
  };
  await refusalOf(client.echo({ saying }));
  const shown = JSON.stringify(lines);
  assert.match(shown, /\[content 10 bytes\]/);
  for (const hidden of ["diary", "t0k3n", "Zoë", "100,101,97,114"])
    assert.ok(!shown.includes(hidden));
});

test("a stream is open until its end, and then counted once", async () => {
  const { client, lines, sink, metrics } = createRig();
  const open = new RegExp(`parley_rpc_streams\\{rpc="${RPC}/Expand"\\} (\\d)`);
  const stream = client.expand({ count: 2 })[Symbol.asyncIterator]();
  await stream.next();
  assert.equal(open.exec(await metrics())?.[1], "1");
  while ((await stream.next()).done !== true);
  assert.equal(open.exec(await metrics())?.[1], "0");
  assert.match(await metrics(), /Expand",code="ok",reason=""\} 1/);
  const failing = (async () => {
    for await (const _ of client.expand({ count: 1, ending: "fail" }));
  })();
  await refusalOf(failing);
  assert.match(await metrics(), /Expand",code="failed_precondition",reason="WRONG_MOMENT"\} 1/);
  assert.equal(open.exec(await metrics())?.[1], "0");
  assert.equal(lines.length, 1);
  assert.equal(sink.finished().length, 2);
});

test("a stream that its caller gives up is counted as canceled", async () => {
  const { client, metrics } = createRig();
  const controller = new AbortController();
  const reading = (async () => {
    const stream = client.expand({ count: 1, ending: "wait" }, { signal: controller.signal });
    for await (const _ of stream) controller.abort();
  })();
  await refusalOf(reading);
  await new Promise((resolve) => setImmediate(resolve));
  assert.match(await metrics(), /Expand",code="canceled",reason="CANCELED"\} 1/);
});

test("codes are named as on the wire", () => {
  assert.equal(codeName(Code.NotFound), "not_found");
  assert.equal(codeName(Code.ResourceExhausted), "resource_exhausted");
  assert.equal(codeName(99 as Code), "unknown");
});
