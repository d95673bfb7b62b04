import assert from "node:assert/strict";
import { test } from "node:test";
import { notFound } from "../errors.ts";
import { createLogger, createSilentLogger, type LoggerOptions } from "./logger.ts";
import { runWithTraceContext } from "./trace-context.ts";

function createRig(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line) };
  const log = createLogger({
    serviceName: "test",
    level: "info",
    format: "json",
    destination,
    ...options,
  });
  const last = () => JSON.parse(lines.at(-1) ?? "null") as Record<string, unknown>;
  return { log, lines, last };
}

test("a line is one JSON object with service, level, time, message and fields", () => {
  const { log, lines, last } = createRig();
  log.info({ user_id: "u" }, "Signed in.");
  assert.equal(lines.length, 1);
  assert.ok(lines[0]?.endsWith("\n"));
  const { time, ...line } = last();
  assert.deepEqual(line, { level: "info", service: "test", user_id: "u", msg: "Signed in." });
  assert.ok(!Number.isNaN(Date.parse(String(time))));
});

test("lines below the level are not written", () => {
  const { log, lines } = createRig({ level: "warn" });
  log.debug("no");
  log.info("no");
  log.warn("yes");
  log.error("yes");
  assert.equal(lines.length, 2);
  assert.equal(log.isLevelEnabled("info"), false);
});

test("a child adds its fields", () => {
  const { log, last } = createRig();
  log.child({ partition: 3 }).info("Taken over.");
  assert.equal(last().partition, 3);
});

test("an error is written with its causes, a bounded number of them, and without a refusal's details", () => {
  const { log, last } = createRig();
  const cycle = new Error("first");
  cycle.cause = new Error("second", { cause: cycle });
  log.error({ error: cycle }, "Failed.");
  const error = last().error as {
    type: string;
    message: string;
    stack: string;
    cause: { message: string };
  };
  assert.equal(error.type, "Error");
  assert.equal(error.message, "first");
  assert.match(error.stack, /^ {4}at .*logger\.test/);
  assert.doesNotMatch(error.stack, /first/, "the message is not said twice");
  assert.equal(error.cause.message, "second");
  log.error({ error: notFound("GONE", "x", { name: "Zoë" }) }, "Failed.");
  assert.doesNotMatch(JSON.stringify(last()), /Zoë/);
  log.error({ error: "text" }, "Failed.");
  assert.equal(last().error, "text");
  log.error({ error: { password: "p" } }, "Failed.");
  assert.equal(last().error, "object");
});

test("a line names the trace that it belongs to, if it is kept", () => {
  const { log, last } = createRig();
  const context = {
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "00f067aa0ba902b7",
    sampled: true,
  };
  runWithTraceContext(context, () => log.info("Inside."));
  assert.equal(last().trace_id, context.traceId);
  runWithTraceContext({ ...context, sampled: false }, () => log.info("Inside."));
  assert.equal("trace_id" in last(), false);
});

test("the readable format is one line per entry, and the stack of an error", () => {
  const { log, lines } = createRig({ format: "line" });
  log.warn({ count: 3, name: "a", nested: { b: 1 } }, "Slow.");
  assert.match(
    lines[0] ?? "",
    /^\d\d:\d\d:\d\d\.\d{3} {2}WARN {3}test {2}Slow\. {2}count=3 {2}name=a {2}nested=\{"b":1\}\n$/,
  );
  log.error({ error: new Error("broken") }, "Failed.");
  assert.match(lines[1] ?? "", /Failed\.\nError: broken\n {4}at /);
  const error = new TypeError("outer\nof two lines", { cause: new Error("ENOSPC: no space left") });
  log.error({ error }, "Failed.");
  assert.match(
    lines[2] ?? "",
    /Failed\.\nTypeError: outer\nof two lines\n( {4}at .*\n)+Caused by Error: ENOSPC: no space left\n {4}at /,
  );
  log.error({ error: "a text" }, "Failed.");
  assert.match(lines[3] ?? "", /Failed\.\na text\n$/);
});

test("the silent logger writes nothing, at no level", () => {
  const log = createSilentLogger();
  log.error("nothing");
  assert.equal(log.isLevelEnabled("error"), false);
});
