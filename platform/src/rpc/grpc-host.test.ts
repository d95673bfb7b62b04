import assert from "node:assert/strict";
import { connect } from "node:http2";
import { test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { Health as HealthService } from "@parley/gen/grpc/health/v1/health_pb";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { reasonOf } from "../errors.ts";
import { createHealth } from "../health.ts";
import { silentTelemetry } from "../telemetry/telemetry.ts";
import { createGrpcHost, type GrpcHost, type GrpcHostOptions } from "./grpc-host.ts";
import { createGrpcTransport } from "./grpc-transport.ts";
import { runHostSuite, SUITE_MESSAGE_BYTES_MAX } from "./hosts.contract.ts";
import { standardInterceptors } from "./interceptors/standard.ts";
import { callingAs } from "./testing/calling-as.ts";
import { TEST_CERTIFICATE, TEST_KEY } from "./testing/certificate.ts";
import { createEchoRoutes, FLOOD_TEXT } from "./testing/echo-routes.ts";
import { refusalOf } from "./testing/refusal-of.ts";

const SERVICE_TOKEN = "service-token";

runHostSuite({
  name: "grpc-js",
  internalCallers: true,
  limitsSize: true,
  async start({ routes, interceptors }) {
    const host = await createGrpcHost({
      routes,
      interceptors,
      address: { host: "127.0.0.1", port: 0 },
      serviceToken: SERVICE_TOKEN,
      messageBytesMax: SUITE_MESSAGE_BYTES_MAX,
    });
    const transport = createGrpcTransport({
      addresses: [`127.0.0.1:${host.address.port}`],
      serviceToken: SERVICE_TOKEN,
      serviceName: "tester",
      defaultTimeoutMs: 500,
    });
    return {
      transport: (caller) => callingAs(transport, caller),
      async [Symbol.asyncDispose]() {
        await transport[Symbol.asyncDispose]();
        await host[Symbol.asyncDispose]();
      },
    };
  },
});

const device = { kind: "device", userId: "u", deviceId: "d", expireTimeMs: 4e12 } as const;

async function startEcho(options: Partial<GrpcHostOptions> = {}) {
  const echo = createEchoRoutes();
  const host = await createGrpcHost({
    routes: echo.routes,
    interceptors: standardInterceptors(silentTelemetry()),
    address: { host: "127.0.0.1", port: 0 },
    serviceToken: SERVICE_TOKEN,
    ...options,
  });
  return { echo, host };
}

const transportTo = (host: GrpcHost, serviceToken?: string) =>
  createGrpcTransport({
    addresses: [`127.0.0.1:${host.address.port}`],
    serviceToken,
    serviceName: "tester",
    defaultTimeoutMs: 5000,
  });

test("without the service token nobody is more than public, whatever they claim", async () => {
  const { host } = await startEcho();
  await using _host = host;
  await using transport = transportTo(host);
  const client = createClient(EchoService, transport);
  const claim = Buffer.from(JSON.stringify({ kind: "internal", service: "liar" })).toString(
    "base64",
  );
  const headers = { "parley-caller-bin": claim, "parley-peer-address": "10.0.0.1" };
  const error = await refusalOf(client.describeService({}, { headers }));
  assert.equal(reasonOf(error), "INTERNAL_ONLY");
  const { caller } = await client.echo({ saying: { text: "a", volume: 1 } }, { headers });
  assert.equal(caller?.kind, "public");
  assert.equal(caller?.peerAddress, "127.0.0.1");
});

test("a wrong service token is refused, also by a host that has none", async () => {
  for (const serviceToken of [SERVICE_TOKEN, undefined]) {
    const { host } = await startEcho({ serviceToken });
    await using _host = host;
    await using transport = transportTo(host, "wrong");
    const error = await refusalOf(createClient(EchoService, transport).describeService({}));
    assert.equal(error.code, Code.Unauthenticated);
    assert.equal(reasonOf(error), "SERVICE_TOKEN_INVALID");
  }
});

test("bytes that are no message are the caller's fault", async () => {
  const { host } = await startEcho();
  await using _host = host;
  const session = connect(`http://127.0.0.1:${host.address.port}`);
  const stream = session.request({
    ":method": "POST",
    ":path": "/parley.internal.testing.v1.EchoService/Echo",
    "content-type": "application/grpc",
    te: "trailers",
  });
  // One gRPC frame (flag, 4 bytes of length) with a field whose length runs past the end.
  stream.end(Buffer.from([0, 0, 0, 0, 2, 0x0a, 0x7f]));
  const status = await new Promise<unknown>((resolve) => {
    stream.on("trailers", (trailers) => resolve(trailers["grpc-status"]));
    stream.on("response", (headers) => {
      if (headers["grpc-status"] !== undefined) resolve(headers["grpc-status"]);
    });
    stream.resume();
  });
  session.destroy();
  assert.equal(Number(status), Code.InvalidArgument);
});

test("draining lets unary calls finish, ends streams, and refuses what comes later", async () => {
  const { echo, host } = await startEcho();
  await using _host = host;
  await using transport = transportTo(host, SERVICE_TOKEN);
  const client = createClient(EchoService, transport);
  const stream = client.expand({ count: 1, ending: "wait" })[Symbol.asyncIterator]();
  assert.equal((await stream.next()).value?.number, 0);
  const ended = refusalOf(stream.next());
  const slow = client.change({ instruction: "pause" });
  await echo.paused();
  const drained = host.drain();
  assert.equal(reasonOf(await ended), "SERVER_DRAINING");
  echo.resume();
  await slow;
  await drained;
  const later = await refusalOf(client.change({ instruction: "" }, { timeoutMs: 1000 }));
  assert.ok([Code.Unavailable, Code.DeadlineExceeded].includes(later.code), later.message);
});

test("draining ends calls that take too long", async () => {
  const { echo, host } = await startEcho({ drainTimeoutMs: 50 });
  await using _host = host;
  await using transport = transportTo(host, SERVICE_TOKEN);
  const call = createClient(EchoService, transport).change({ instruction: "pause" });
  const refused = refusalOf(call);
  await echo.paused();
  await host.drain();
  assert.equal((await refused).code, Code.Unavailable);
  echo.resume();
});

test("a host that disappears ends the calls on it with unavailable", async () => {
  const { echo, host } = await startEcho();
  await using transport = transportTo(host, SERVICE_TOKEN);
  const client = createClient(EchoService, transport);
  const unary = refusalOf(client.change({ instruction: "pause" }));
  await echo.paused();
  await host[Symbol.asyncDispose]();
  assert.equal((await unary).code, Code.Unavailable);
  echo.resume();
});

test("a writer is held back by a reader that does not read", async () => {
  const { echo, host } = await startEcho();
  await using _host = host;
  await using transport = transportTo(host, SERVICE_TOKEN);
  const { signal, stop } = abortable();
  const request = flood();
  const stream = createClient(EchoService, transport).converse(request, { signal });
  const reader = stream[Symbol.asyncIterator]();
  await reader.next();
  const bytes = (await echo.flooded()) * FLOOD_TEXT.length;
  // 4 MiB of window and what both ends read ahead; an unbounded writer would still be at it.
  assert.ok(bytes < 16 * 1024 * 1024, `${bytes} bytes were written ahead`);
  stop();
  await echo.left();
});

test("the health service says what the registry says", async () => {
  const health = createHealth();
  health.set("store", true);
  const { host } = await startEcho({ health });
  await using _host = host;
  await using transport = transportTo(host);
  const client = createClient(HealthService, transport);
  const service = EchoService.typeName;
  assert.equal((await client.check({})).status, 1);
  assert.equal((await client.check({ service })).status, 1);
  const watch = client.watch({ service: "store" })[Symbol.asyncIterator]();
  assert.equal((await watch.next()).value?.status, 1);
  health.set("store", false, "gone");
  assert.equal((await watch.next()).value?.status, 2);
  assert.equal((await client.check({ service })).status, 2);
  assert.equal((await refusalOf(client.check({ service: "nobody" }))).code, Code.NotFound);
  assert.deepEqual(
    Object.keys((await client.list({})).statuses).sort(),
    ["", service, "parley.internal.testing.v1.UndeclaredService", "store"].sort(),
  );
});

test("TLS with client certificates admits who shows one, and nobody else", async () => {
  const tls = { certificate: TEST_CERTIFICATE, key: TEST_KEY, clientAuthority: TEST_CERTIFICATE };
  const { host } = await startEcho({ tls });
  await using _host = host;
  const options = {
    addresses: [`127.0.0.1:${host.address.port}`],
    serviceToken: SERVICE_TOKEN,
    serviceName: "tester",
    defaultTimeoutMs: 3000,
  };
  await using known = createGrpcTransport({
    ...options,
    tls: { authority: TEST_CERTIFICATE, certificate: TEST_CERTIFICATE, key: TEST_KEY },
  });
  await using stranger = createGrpcTransport({ ...options, tls: { authority: TEST_CERTIFICATE } });
  const { caller } = await createClient(EchoService, callingAs(known, device)).describeDevice({});
  assert.equal(caller?.userId, "u");
  const error = await refusalOf(createClient(EchoService, stranger).change({ instruction: "" }));
  assert.equal(error.code, Code.Unavailable);
});

test("an address that is taken rejects", async () => {
  const { host } = await startEcho();
  await using _host = host;
  await assert.rejects(startEcho({ address: host.address }));
});

function abortable() {
  const controller = new AbortController();
  return { signal: controller.signal, stop: () => controller.abort() };
}

async function* flood() {
  yield { text: "flood" };
}
