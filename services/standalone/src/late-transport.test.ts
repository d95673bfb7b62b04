import assert from "node:assert/strict";
import { it } from "node:test";
import { createClient } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus } from "@parley/gen/grpc/health/v1/health_pb";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { defineRoute } from "@parley/platform/rpc/route";
import { createLateTransport } from "./late-transport.ts";

const status = HealthCheckResponse_ServingStatus.SERVING;

function target() {
  const route = defineRoute(Health, {
    check: async () => ({ status }),
    async *watch() {
      yield { status };
    },
    list: async () => ({}),
  });
  return createInProcessTransport({ routes: [route], interceptors: [] });
}

it("refuses calls before it is bound, and passes them on afterwards", async () => {
  const late = createLateTransport("health");
  const client = createClient(Health, late);
  await assert.rejects(client.check({}), /before it was wired/);
  late.bind(target());
  assert.equal((await client.check({})).status, status);
  for await (const update of client.watch({})) assert.equal(update.status, status);
});

it("is bound once", () => {
  const late = createLateTransport("health");
  late.bind(target());
  assert.throws(() => late.bind(target()), /wired twice/);
});
