import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "@parley/gen/google/rpc/error_details_pb";
import * as errors from "./errors.ts";

const CAUSE = new Error("the cause");

/** Every refusal with its code and reason; a new one without a row is found by the test below. */
const rows: readonly (readonly [string, ConnectError, Code, string])[] = [
  [
    "invalidArgument",
    errors.invalidArgument("a.b", "is wrong"),
    Code.InvalidArgument,
    "INVALID_FIELD",
  ],
  ["invalidFields", errors.invalidFields([], "BAD"), Code.InvalidArgument, "BAD"],
  ["unauthenticated", errors.unauthenticated("NO_TOKEN", "d"), Code.Unauthenticated, "NO_TOKEN"],
  ["permissionDenied", errors.permissionDenied("NOT_YOU", "d"), Code.PermissionDenied, "NOT_YOU"],
  ["notFound", errors.notFound("GONE", "d"), Code.NotFound, "GONE"],
  ["alreadyExists", errors.alreadyExists("TAKEN", "d"), Code.AlreadyExists, "TAKEN"],
  ["failedPrecondition", errors.failedPrecondition("FULL", "d"), Code.FailedPrecondition, "FULL"],
  ["resourceExhausted", errors.resourceExhausted("OFTEN", "d"), Code.ResourceExhausted, "OFTEN"],
  ["aborted", errors.aborted("RACE", "d"), Code.Aborted, "RACE"],
  ["unavailable", errors.unavailable("DOWN", "d"), Code.Unavailable, "DOWN"],
  ["deadlineExceeded", errors.deadlineExceeded(), Code.DeadlineExceeded, "DEADLINE_EXCEEDED"],
  ["canceled", errors.canceled(), Code.Canceled, "CANCELED"],
  ["internal", errors.internal(CAUSE), Code.Internal, "INTERNAL"],
];

for (const [name, error, code, reason] of rows) {
  test(`${name} has its code, its reason and the domain`, () => {
    assert.equal(error.code, code);
    assert.equal(errors.reasonOf(error), reason);
    const [info] = error.findDetails(errors.ErrorInfoSchema);
    assert.equal(info?.domain, "parley");
  });
}

test("every function that refuses has a row above", () => {
  const helpers = [
    "reasonOf",
    "errorInfoOf",
    "retryAfterMsOf",
    "fromUnknown",
    "toRefusalFields",
    "fromRefusalFields",
  ];
  const functions = Object.entries(errors).filter(([name, value]) => {
    return typeof value === "function" && !helpers.includes(name);
  });
  assert.deepEqual(functions.map(([name]) => name).sort(), rows.map(([name]) => name).sort());
});

test("invalid fields are listed in the text and as violations", () => {
  const violations = [
    { field: "name", description: "is too long" },
    { field: "", description: "the whole is wrong" },
  ];
  const error = errors.invalidFields(violations);
  assert.equal(error.rawMessage, "name: is too long; the whole is wrong");
  const [detail] = error.findDetails(BadRequestSchema);
  assert.deepEqual(
    detail?.fieldViolations.map(({ field, description }) => ({ field, description })),
    violations,
  );
  assert.equal(errors.errorInfoOf(error)?.metadata.field, "name");
});

test("a delay is whole milliseconds, never negative, and absent when not known", () => {
  const after = (retryAfterMs: number) =>
    errors.retryAfterMsOf(errors.resourceExhausted("OFTEN", "d", { retryAfterMs }));
  assert.equal(after(1500.2), 1501);
  assert.equal(after(-5), 0);
  assert.equal(errors.retryAfterMsOf(errors.unavailable("DOWN", "d")), undefined);
  assert.equal(errors.retryAfterMsOf(new Error("x")), undefined);
});

test("an internal error keeps its cause and says nothing of it", () => {
  const error = errors.internal(CAUSE);
  assert.equal(error.cause, CAUSE);
  assert.doesNotMatch(error.message, /the cause/);
});

test("fromUnknown keeps refusals, and tells aborts, timeouts and bugs apart", () => {
  const refusal = errors.notFound("GONE", "d");
  assert.equal(errors.fromUnknown(refusal), refusal);
  assert.equal(errors.fromUnknown(AbortSignal.abort().reason).code, Code.Canceled);
  assert.equal(
    errors.fromUnknown(new DOMException("t", "TimeoutError")).code,
    Code.DeadlineExceeded,
  );
  assert.equal(errors.fromUnknown("text").code, Code.Internal);
  assert.equal(errors.fromUnknown("text").cause, "text");
});

test("errors of other domains and other systems have no reason", () => {
  assert.equal(errors.reasonOf(new Error("x")), undefined);
  assert.equal(errors.reasonOf(new ConnectError("x", Code.NotFound)), undefined);
  const foreign = new ConnectError("x", Code.NotFound, undefined, [
    { desc: errors.ErrorInfoSchema, value: { reason: "A", domain: "elsewhere" } },
  ]);
  assert.equal(errors.reasonOf(foreign), undefined);
});

test("a refusal survives being taken apart for a batch", () => {
  const fields = errors.toRefusalFields(errors.unavailable("DOWN", "d", { retryAfterMs: 20 }));
  assert.deepEqual(fields, { code: 14, reason: "DOWN", description: "d", retryAfterMs: 20 });
  const back = errors.fromRefusalFields(fields);
  assert.deepEqual(errors.toRefusalFields(back), fields);
  assert.equal(errors.toRefusalFields(new Error("secret")).reason, "INTERNAL");
  assert.doesNotMatch(errors.toRefusalFields(new Error("secret")).description, /secret/);
  assert.equal(errors.fromRefusalFields({ ...fields, code: 99 }).code, Code.Internal);
});

test("a printed refusal shows its reason and no descriptors", () => {
  const text = inspect(errors.notFound("GONE", "d"), { depth: 20 });
  assert.match(text, /GONE/);
  assert.doesNotMatch(text, /DescriptorProto/);
});
