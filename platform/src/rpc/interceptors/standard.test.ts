import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "@connectrpc/connect";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { reasonOf } from "../../errors.ts";
import { silentTelemetry } from "../../telemetry/telemetry.ts";
import { createInProcessTransport } from "../in-process-host.ts";
import { createEchoRoutes } from "../testing/echo-routes.ts";
import { refusalOf } from "../testing/refusal-of.ts";
import { standardInterceptors } from "./standard.ts";

test("telemetry sees what the other interceptors refuse", async () => {
  const telemetry = silentTelemetry();
  const { routes } = createEchoRoutes();
  const transport = createInProcessTransport({
    routes,
    interceptors: standardInterceptors(telemetry),
  });
  const client = createClient(EchoService, transport);
  await refusalOf(client.describeDevice({}));
  await refusalOf(client.echo({}));
  const text = await telemetry.metrics.renderMetrics();
  assert.match(text, /reason="DEVICE_REQUIRED"\} 1/);
  assert.match(text, /reason="INVALID_FIELD"\} 1/);
});

test("a longer deadline than the longest is cut to it, a shorter one is kept", async () => {
  const { routes } = createEchoRoutes();
  const deadline = { defaultMs: 10_000, maxMs: 40 };
  const interceptors = standardInterceptors(silentTelemetry(), { deadline });
  const client = createClient(EchoService, createInProcessTransport({ routes, interceptors }));
  for (const timeoutMs of [undefined, 10, 60_000]) {
    const startMs = performance.now();
    const options = timeoutMs === undefined ? {} : { timeoutMs };
    const error = await refusalOf(client.change({ instruction: "ignore" }, options));
    assert.equal(reasonOf(error), "DEADLINE_EXCEEDED");
    assert.ok(performance.now() - startMs < 5000);
  }
});
