import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "@parley/gen/google/rpc/error_details_pb";
import { RefusedSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import { fromRefused, isTransient, type ParleyError, toParleyError } from "./errors.ts";
import { createTestClient } from "./testing/people.ts";
import { startTestServer } from "./testing/test-server.ts";

const facts = (error: ParleyError) => [error.code, error.reason, error.field, error.retryAfterMs];

it("a refusal is the same by RPC and by frame", () => {
  const details = [
    {
      desc: ErrorInfoSchema,
      value: { reason: "RATE_LIMITED", domain: "parley", metadata: { a: "b" } },
    },
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: "body", description: "" }] } },
    { desc: RetryInfoSchema, value: { retryDelay: durationFromMs(1_500) } },
  ];
  const byRpc = toParleyError(
    new ConnectError("Slower.", Code.ResourceExhausted, undefined, details),
  );
  const byFrame = fromRefused(
    create(RefusedSchema, {
      code: Code.ResourceExhausted,
      reason: "RATE_LIMITED",
      description: "Slower.",
      field: "body",
      retryDelay: durationFromMs(1_500),
      metadata: { a: "b" },
    }),
  );
  for (const error of [byRpc, byFrame]) {
    assert.deepEqual(facts(error), [Code.ResourceExhausted, "RATE_LIMITED", "body", 1_500]);
    assert.deepEqual([error.message, error.metadata], ["Slower.", { a: "b" }]);
    assert.equal(isTransient(error), true);
  }
});

it("what no server said is told apart from what one said", () => {
  const network = toParleyError(
    new ConnectError("x", Code.Unknown, undefined, undefined, new TypeError("fetch failed")),
  );
  assert.deepEqual(facts(network), [Code.Unavailable, "NETWORK", undefined, undefined]);
  assert.match(network.message, /fetch failed/);
  const timeout = toParleyError(new ConnectError("x", Code.DeadlineExceeded));
  assert.equal(timeout.reason, "TIMEOUT");
  const bare = toParleyError(new ConnectError("x", Code.PermissionDenied));
  assert.deepEqual([bare.reason, isTransient(bare)], ["PERMISSION_DENIED", false]);
  assert.equal(toParleyError(new RangeError("x")).reason, "UNKNOWN");
});

it("calls reject with it, and a token that the server no longer takes is replaced once", async () => {
  await using server = await startTestServer();
  await using client = createTestClient(server);
  await assert.rejects(client.accounts.getAccount({}), {
    name: "ParleyError",
    reason: "SIGNED_OUT",
  });
  const credentials = { username: "ana", password: "correct horse" };
  await client.signUp(credentials);
  await assert.rejects(client.signUp(credentials), {
    name: "ParleyError",
    reason: "USERNAME_TAKEN",
  });
  for (const device of server.model.devices.values()) device.accessExpireMs = 0;
  await Promise.all([client.accounts.getAccount({}), client.accounts.getAccount({})]);
  assert.equal(server.model.refreshes, 1);
  await client.signOut();
  await assert.rejects(client.accounts.getAccount({}), { reason: "SIGNED_OUT" });
  await server.stop();
  await assert.rejects(client.ops.getServerInfo({}), { name: "ParleyError", reason: "NETWORK" });
});
