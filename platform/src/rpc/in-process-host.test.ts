import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, createClient, createContextValues, type Interceptor } from "@connectrpc/connect";
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  Health as HealthService,
} from "@parley/gen/grpc/health/v1/health_pb";
import { Volume } from "@parley/gen/parley/internal/testing/v1/echo_pb";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { sleep } from "../async/sleep.ts";
import { callerKey } from "./caller.ts";
import { runHostSuite } from "./hosts.contract.ts";
import { createInProcessTransport } from "./in-process-host.ts";
import { defineRoute, type Routes } from "./route.ts";
import { createEchoRoutes } from "./testing/echo-routes.ts";
import { refusalOf } from "./testing/refusal-of.ts";

runHostSuite({
  name: "in-process",
  internalCallers: true,
  limitsSize: false,
  start: ({ routes, interceptors }) =>
    Promise.resolve({
      transport: (asCaller) => createInProcessTransport({ routes, interceptors, asCaller }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
});

const bare = (routes: Routes) => createInProcessTransport({ routes, interceptors: [] });

test("messages are passed by reference, init shapes become messages", async () => {
  const seen: unknown[] = [];
  const answer = create(HealthCheckResponseSchema, { status: 1 });
  const route = defineRoute(HealthService, {
    check(request) {
      seen.push(request);
      return answer;
    },
    async *watch() {
      yield { status: 2 };
    },
    list: () => ({}),
  });
  const client = createClient(HealthService, bare([route]));
  const request = create(HealthCheckRequestSchema, { service: "a" });
  assert.equal(await client.check(request), answer);
  assert.equal(seen[0], request);
  await client.check({ service: "b" });
  assert.equal((seen[1] as { $typeName: string }).$typeName, "grpc.health.v1.HealthCheckRequest");
  for await (const response of client.watch({})) {
    assert.equal(response.$typeName, "grpc.health.v1.HealthCheckResponse");
  }
});

test("calls with context values have their caller and no other; what the handler sets stays there", async () => {
  const elevate: Interceptor = (next) => (request) => {
    request.contextValues.set(callerKey, { kind: "operator" });
    return next(request);
  };
  const { routes } = createEchoRoutes();
  const asCaller = { kind: "internal", service: "s" } as const;
  const plain = createClient(
    EchoService,
    createInProcessTransport({ routes, interceptors: [], asCaller }),
  );
  const say = { saying: { text: "a", volume: Volume.QUIET } };
  assert.equal((await plain.echo(say)).caller?.kind, "internal");
  const contextValues = createContextValues();
  assert.equal((await plain.echo(say, { contextValues })).caller?.kind, "public");
  const interceptors = [elevate];
  const elevated = createClient(EchoService, createInProcessTransport({ routes, interceptors }));
  assert.equal((await elevated.echo(say, { contextValues })).caller?.kind, "operator");
  assert.equal(contextValues.get(callerKey).kind, "public");
});

test("a handler works ahead of its reader by a bounded number of answers", async () => {
  let produced = 0;
  const route = defineRoute(HealthService, {
    check: () => ({}),
    async *watch() {
      for (;;) {
        produced++;
        yield {};
      }
    },
    list: () => ({}),
  });
  const controller = new AbortController();
  const stream = createClient(HealthService, bare([route])).watch(
    {},
    { signal: controller.signal },
  );
  const reader = stream[Symbol.asyncIterator]();
  await reader.next();
  await sleep(20);
  assert.ok(produced > 1 && produced < 25, `${produced}`);
  controller.abort();
  await refusalOf(reader.next());
});

test("a reader that leaves a raw stream ends the handler", async () => {
  const echo = createEchoRoutes();
  const response = await bare(echo.routes).stream(
    EchoService.method.expand,
    undefined,
    undefined,
    undefined,
    (async function* () {
      yield { count: 1, ending: "wait" };
    })(),
  );
  for await (const _ of response.message) break;
  await echo.left();
});

test("a caller's generator that throws reaches the handler as its error", async () => {
  async function* numbers() {
    yield { number: 1 };
    throw new Error("mine");
  }
  const client = createClient(EchoService, bare(createEchoRoutes().routes));
  const error = await refusalOf(client.collect(numbers()));
  assert.match(String(error.cause), /mine/);
});

test("a server stream takes exactly one request", async () => {
  const transport = bare(createEchoRoutes().routes);
  for (const count of [0, 2]) {
    async function* requests() {
      for (let index = 0; index < count; index++) yield { count: 1 };
    }
    const { expand } = EchoService.method;
    const call = transport.stream(expand, undefined, undefined, undefined, requests());
    assert.equal((await refusalOf(call)).code, Code.InvalidArgument);
  }
});
