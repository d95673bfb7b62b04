import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { Health } from "@parley/gen/grpc/health/v1/health_pb";
import { unavailable } from "../errors.ts";
import { ServerCall } from "./server-call.ts";

const open = (timeoutMs?: number) =>
  new ServerCall({
    method: Health.method.check,
    protocolName: "test",
    requestHeader: new Headers(),
    values: undefined,
    timeoutMs,
  });

test("ending early tells listeners and the signal the reason, once", () => {
  const call = open();
  const heard: unknown[] = [];
  call.onAbort((reason) => heard.push(reason));
  call.onAbort((reason) => heard.push(reason));
  const { signal } = call;
  const reason = unavailable("DOWN", "Down.");
  call.abort(reason);
  call.abort(new Error("second"));
  assert.equal(heard.length, 2);
  assert.ok(heard.every((item) => item === reason));
  assert.equal(signal.reason, reason);
  call.onAbort((late) => heard.push(late));
  assert.equal(heard.length, 3);
});

test("a signal that is first read after the end has aborted", () => {
  const aborted = open();
  aborted.abort(unavailable("DOWN", "Down."));
  assert.equal(aborted.signal.aborted, true);
  const finished = open();
  finished.finish();
  assert.equal(finished.signal.aborted, true);
});

test("a finished call cannot end early any more", () => {
  const call = open();
  const { signal } = call;
  call.onAbort(() => assert.fail("it has its answer"));
  call.finish();
  call.abort(new Error("late"));
  assert.equal(signal.aborted, true);
  assert.equal(call.abortReason, undefined);
});

test("the earlier of two deadlines counts", async () => {
  const call = open(60_000);
  call.limitTimeout(120_000);
  assert.ok((call.timeoutMs() ?? 0) <= 60_000);
  call.limitTimeout(10);
  assert.ok((call.timeoutMs() ?? 0) <= 10);
  await new Promise<void>((resolve) => call.onAbort(() => resolve()));
  assert.equal((call.abortReason as { code?: Code } | undefined)?.code, Code.DeadlineExceeded);
});

test("a deadline that has passed ends the call at once; one too long for a timer is none", () => {
  assert.notEqual(open(0).abortReason, undefined);
  assert.notEqual(open(-5).abortReason, undefined);
  const call = open(2 ** 40);
  assert.equal(call.abortReason, undefined);
  assert.equal(call.timeoutMs(), undefined);
});
