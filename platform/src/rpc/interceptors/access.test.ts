import assert from "node:assert/strict";
import { test } from "node:test";
import { type CallOptions, createClient } from "@connectrpc/connect";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { reasonOf } from "../../errors.ts";
import type { Caller } from "../caller.ts";
import { createInProcessTransport } from "../in-process-host.ts";
import { createEchoRoutes } from "../testing/echo-routes.ts";
import { refusalOf } from "../testing/refusal-of.ts";
import { accessInterceptor } from "./access.ts";

const device: Caller = { kind: "device", userId: "u", deviceId: "d", expireTimeMs: 4e12 };

/** A call for the operator with a header, by a caller, on a host with or without an operator token. */
function operate(authorization: string | undefined, caller: Caller, operatorToken?: string) {
  const { routes } = createEchoRoutes();
  const interceptors = [accessInterceptor({ operatorToken })];
  const transport = createInProcessTransport({ routes, interceptors, asCaller: caller });
  const options: CallOptions = authorization === undefined ? {} : { headers: { authorization } };
  return createClient(EchoService, transport).describeOperator({}, options);
}

const anybody: Caller = { kind: "public" };

test("the operator's token makes anybody the operator, for that call", async () => {
  for (const caller of [anybody, device]) {
    const { caller: seen } = await operate("Bearer s3cret", caller, "s3cret");
    assert.equal(seen?.kind, "operator");
  }
});

test("another token, none, or a host without one, makes nobody the operator", async () => {
  const refused = [
    operate("Bearer wrong", anybody, "s3cret"),
    operate("s3cret", anybody, "s3cret"),
    operate("Bearer ", anybody, "s3cret"),
    operate(undefined, anybody, "s3cret"),
    operate("Bearer undefined", anybody, undefined),
    operate(undefined, anybody, undefined),
  ];
  for (const call of refused) {
    assert.equal(reasonOf(await refusalOf(call)), "OPERATOR_TOKEN_REQUIRED");
  }
  assert.equal(
    reasonOf(await refusalOf(operate("Bearer wrong", device, "s3cret"))),
    "OPERATOR_ONLY",
  );
});
