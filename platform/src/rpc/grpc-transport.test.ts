import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, createClient, type Interceptor } from "@connectrpc/connect";
import { Volume } from "@parley/gen/parley/internal/testing/v1/echo_pb";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { failedPrecondition, reasonOf, unavailable } from "../errors.ts";
import { createMemorySpanSink } from "../telemetry/span-sink.ts";
import { createTelemetry, silentTelemetry } from "../telemetry/telemetry.ts";
import { callerKey, peerAddressKey } from "./caller.ts";
import { forkContextValues } from "./context-values.ts";
import { createGrpcHost } from "./grpc-host.ts";
import { createGrpcTransport, type GrpcTransportOptions } from "./grpc-transport.ts";
import { standardInterceptors } from "./interceptors/standard.ts";
import { createEchoRoutes } from "./testing/echo-routes.ts";
import { refusalOf } from "./testing/refusal-of.ts";

const SERVICE_TOKEN = "service-token";
const saying = { text: "hello", volume: Volume.QUIET };

async function startHost(interceptors: readonly Interceptor[] = []) {
  const echo = createEchoRoutes();
  const host = await createGrpcHost({
    routes: echo.routes,
    interceptors: [...standardInterceptors(silentTelemetry()), ...interceptors],
    address: { host: "127.0.0.1", port: 0 },
    serviceToken: SERVICE_TOKEN,
  });
  return { echo, host, address: `127.0.0.1:${host.address.port}` };
}

const connect = (addresses: readonly string[], options: Partial<GrpcTransportOptions> = {}) =>
  createGrpcTransport({
    addresses,
    serviceToken: SERVICE_TOKEN,
    serviceName: "tester",
    defaultTimeoutMs: 3000,
    ...options,
  });

/** Refuses the first `count` calls. */
function refusing(
  count: number,
  error: () => Error,
): Interceptor & { readonly calls: () => number } {
  let calls = 0;
  const interceptor: Interceptor = (next) => (request) => {
    calls++;
    return calls <= count ? Promise.reject(error()) : next(request);
  };
  return Object.assign(interceptor, { calls: () => calls });
}

test("a call marked idempotent is repeated while the server is unavailable", async () => {
  const refuse = refusing(2, () => unavailable("DOWN", "Down."));
  const { host, address } = await startHost([refuse]);
  await using _host = host;
  await using transport = connect([address]);
  await createClient(EchoService, transport).echo({ saying });
  assert.equal(refuse.calls(), 3);
});

test("repetition ends after three attempts, with the last refusal", async () => {
  const refuse = refusing(9, () => unavailable("DOWN", "Down."));
  const { host, address } = await startHost([refuse]);
  await using _host = host;
  await using transport = connect([address]);
  const error = await refusalOf(createClient(EchoService, transport).echo({ saying }));
  assert.equal(reasonOf(error), "DOWN");
  assert.equal(refuse.calls(), 3);
});

test("a call that is not idempotent is never repeated", async () => {
  const refuse = refusing(1, () => unavailable("DOWN", "Down."));
  const { host, address } = await startHost([refuse]);
  await using _host = host;
  await using transport = connect([address]);
  const client = createClient(EchoService, transport);
  assert.equal(reasonOf(await refusalOf(client.change({ instruction: "" }))), "DOWN");
  assert.equal(refuse.calls(), 1);
});

test("only unavailable is repeated, and not past the deadline", async () => {
  const precondition = refusing(9, () => failedPrecondition("NO", "No."));
  const waiting = refusing(9, () => unavailable("DOWN", "Down.", { retryAfterMs: 60_000 }));
  for (const refuse of [precondition, waiting]) {
    const { host, address } = await startHost([refuse]);
    await using _host = host;
    await using transport = connect([address]);
    await refusalOf(createClient(EchoService, transport).echo({ saying }));
    assert.equal(refuse.calls(), 1);
  }
});

test("calls go to every address in turn, and past one that is down", async () => {
  const first = await startHost();
  const second = await startHost();
  await using _second = second.host;
  await using transport = connect([first.address, second.address]);
  const client = createClient(EchoService, transport);
  for (let index = 0; index < 10; index++) await client.echo({ saying });
  assert.equal(first.echo.calls, 5);
  assert.equal(second.echo.calls, 5);
  await first.host[Symbol.asyncDispose]();
  for (let index = 0; index < 10; index++) await client.echo({ saying });
  assert.equal(second.echo.calls, 15);
});

test("a server that never was is unavailable, also for a stream", async () => {
  const { host, address } = await startHost();
  await host[Symbol.asyncDispose]();
  await using transport = connect([address]);
  const client = createClient(EchoService, transport);
  const error = await refusalOf(client.change({ instruction: "" }));
  assert.equal(error.code, Code.Unavailable);
  assert.equal(reasonOf(error), "PEER_UNAVAILABLE");
  const stream = client.expand({ count: 1 })[Symbol.asyncIterator]();
  assert.equal((await refusalOf(stream.next())).code, Code.Unavailable);
});

test("calls without context values are the service's own", async () => {
  const { host, address } = await startHost();
  await using _host = host;
  await using transport = connect([address]);
  const { caller } = await createClient(EchoService, transport).describeService({});
  assert.equal(caller?.kind, "internal");
  assert.equal(caller?.service, "tester");
});

test("calls with context values have their caller, and never gain the service's rights", async () => {
  const { host, address } = await startHost();
  await using _host = host;
  await using transport = connect([address]);
  const client = createClient(EchoService, transport);
  const empty = forkContextValues();
  const error = await refusalOf(client.describeService({}, { contextValues: empty }));
  assert.equal(reasonOf(error), "INTERNAL_ONLY");
  const contextValues = forkContextValues()
    .set(callerKey, { kind: "device", userId: "ü", deviceId: "d", expireTimeMs: 1 })
    .set(peerAddressKey, "203.0.113.9");
  const { caller } = await client.describeDevice({}, { contextValues });
  assert.equal(caller?.userId, "ü");
  assert.equal(caller?.peerAddress, "203.0.113.9");
});

test("the present span is the parent of the server's", async () => {
  const sink = createMemorySpanSink();
  await using telemetry = createTelemetry({
    serviceName: "test",
    logLevel: "silent",
    logFormat: "json",
    showPersonal: false,
    tracing: { sampleRatio: 1, sink },
  });
  const host = await createGrpcHost({
    routes: createEchoRoutes().routes,
    interceptors: standardInterceptors(telemetry),
    address: { host: "127.0.0.1", port: 0 },
    serviceToken: SERVICE_TOKEN,
  });
  await using _host = host;
  await using transport = connect([`127.0.0.1:${host.address.port}`]);
  const client = createClient(EchoService, transport);
  await telemetry.tracer.withSpan("caller", {}, async () => {
    await client.echo({ saying });
    for await (const _ of client.expand({ count: 1 }));
  });
  const spans = sink.finished();
  const caller = spans.find((span) => span.name === "caller");
  for (const name of ["Echo", "Expand"]) {
    const served = spans.find((span) => span.name === `${EchoService.typeName}/${name}`);
    assert.equal(served?.traceId, caller?.traceId);
    assert.equal(served?.parentSpanId, caller?.spanId);
  }
});

test("the caller's generator is ended when the server ends the stream first", async () => {
  const { host, address } = await startHost();
  await using _host = host;
  await using transport = connect([address]);
  const left = Promise.withResolvers<void>();
  async function* numbers() {
    try {
      for (;;) yield { number: 5000 };
    } finally {
      left.resolve();
    }
  }
  const error = await refusalOf(createClient(EchoService, transport).collect(numbers()));
  assert.equal(error.code, Code.InvalidArgument);
  await left.promise;
});

test("a caller's generator that throws cancels the call", async () => {
  const { echo, host, address } = await startHost();
  await using _host = host;
  await using transport = connect([address]);
  const answered = Promise.withResolvers<void>();
  async function* texts() {
    yield { text: "one" };
    await answered.promise;
    throw new Error("mine");
  }
  const stream = createClient(EchoService, transport).converse(texts());
  const error = await refusalOf(
    (async () => {
      for await (const _ of stream) answered.resolve();
    })(),
  );
  assert.equal(error.code, Code.Canceled);
  assert.match(String(error.cause), /mine/);
  await echo.left();
});
