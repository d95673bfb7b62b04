import assert from "node:assert/strict";
import { test } from "node:test";
import { Health } from "@parley/gen/grpc/health/v1/health_pb";
import {
  EchoService,
  UndeclaredService,
} from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { Access } from "@parley/gen/parley/options/v1/access_pb";
import { accessOf, bearerToken, secretsEqual } from "./access.ts";

test("a method's own access wins over its service's; neither is unspecified", () => {
  assert.equal(accessOf(EchoService.method.echo), Access.PUBLIC);
  assert.equal(accessOf(EchoService.method.describeDevice), Access.DEVICE);
  assert.equal(accessOf(EchoService.method.describeOperator), Access.OPERATOR);
  assert.equal(accessOf(UndeclaredService.method.reach), Access.UNSPECIFIED);
  assert.equal(accessOf(Health.method.check), Access.PUBLIC);
});

test("bearer tokens are read in any case, and nothing else is one", () => {
  assert.equal(bearerToken("Bearer abc"), "abc");
  assert.equal(bearerToken("bearer  abc"), "abc");
  for (const header of [null, "", "Bearer", "Bearer a b", "Basic abc", "xBearer abc"]) {
    assert.equal(bearerToken(header), undefined);
  }
});

test("secrets are equal when they are", () => {
  assert.equal(secretsEqual("a", "a"), true);
  assert.equal(secretsEqual("a", "ab"), false);
  assert.equal(secretsEqual("", "a"), false);
});
