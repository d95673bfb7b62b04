import assert from "node:assert/strict";
import { once } from "node:events";
import {
  createServer as createHttpServer,
  request as httpRequest,
  type IncomingMessage,
} from "node:http";
import { createServer } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { test } from "node:test";
import { createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { Health as HealthService } from "@parley/gen/grpc/health/v1/health_pb";
import { ServerReflection } from "@parley/gen/grpc/reflection/v1/reflection_pb";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { unauthenticated } from "../errors.ts";
import { silentTelemetry } from "../telemetry/telemetry.ts";
import { bearerToken } from "./access.ts";
import type { Caller } from "./caller.ts";
import { createEdgeHandler, type EdgeCaller } from "./edge-host.ts";
import { runHostSuite, SUITE_MESSAGE_BYTES_MAX, SUITE_OPERATOR_TOKEN } from "./hosts.contract.ts";
import { standardInterceptors } from "./interceptors/standard.ts";
import type { Routes } from "./route.ts";
import { createEchoRoutes } from "./testing/echo-routes.ts";

/** The tokens of the suite: `device:<user>:<device>`. */
function authenticate(header: Headers): EdgeCaller {
  const token = bearerToken(header.get("authorization"));
  if (token === undefined || token === SUITE_OPERATOR_TOKEN) return { kind: "public" };
  const [kind, userId, deviceId] = token.split(":");
  if (kind !== "device" || userId === undefined || deviceId === undefined) {
    throw unauthenticated("TOKEN_INVALID", "The token is not one of ours.");
  }
  return { kind: "device", userId, deviceId, expireTimeMs: 4e12 };
}

const limits = { readBytesMax: SUITE_MESSAGE_BYTES_MAX, writeBytesMax: SUITE_MESSAGE_BYTES_MAX };

function authorize(caller: Caller): Interceptor {
  return (next) => (request) => {
    if (caller.kind === "device") {
      request.header.set("authorization", `Bearer device:${caller.userId}:${caller.deviceId}`);
    }
    if (caller.kind === "operator") {
      request.header.set("authorization", `Bearer ${SUITE_OPERATOR_TOKEN}`);
    }
    return next(request);
  };
}

async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

type ClientOptions = { readonly baseUrl: string; readonly interceptors: Interceptor[] };

const protocols: Record<string, (options: ClientOptions) => Transport> = {
  connect: (options) => createConnectTransport({ ...options, httpVersion: "2" }),
  "connect-json": (options) =>
    createConnectTransport({ ...options, httpVersion: "2", useBinaryFormat: false }),
  grpc: (options) => createGrpcTransport(options),
  "grpc-web": (options) => createGrpcWebTransport({ ...options, httpVersion: "2" }),
};

for (const [name, createTransport] of Object.entries(protocols)) {
  runHostSuite({
    name: `edge ${name}`,
    internalCallers: false,
    limitsSize: true,
    async start({ routes, interceptors }) {
      const server = createServer(
        createEdgeHandler({ routes, interceptors, limits, authenticate }),
      );
      const sessions = new Set<{ destroy(): void }>();
      server.on("session", (session) => sessions.add(session));
      const baseUrl = await listen(server);
      return {
        transport: (caller) => createTransport({ baseUrl, interceptors: [authorize(caller)] }),
        async [Symbol.asyncDispose]() {
          for (const session of sessions) session.destroy();
          server.close();
          await once(server, "close");
        },
      };
    },
  });
}

async function startEdge(routes: Routes) {
  const interceptors = standardInterceptors(silentTelemetry());
  const handler = createEdgeHandler({ routes, interceptors, limits, authenticate });
  const server = createHttpServer(handler);
  const baseUrl = await listen(server);
  return {
    baseUrl,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

test("a plain HTTP/1.1 POST with JSON is a call", async () => {
  await using edge = await startEdge(createEchoRoutes().routes);
  const response = await fetch(`${edge.baseUrl}/${EchoService.typeName}/Echo`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ saying: { text: "hi", volume: "VOLUME_LOUD" } }),
  });
  assert.equal(response.status, 200);
  const body = (await response.json()) as { saying: unknown; caller: { peerAddress: string } };
  assert.deepEqual(body.saying, { text: "hi", volume: "VOLUME_LOUD" });
  assert.equal(body.caller.peerAddress, "127.0.0.1");
});

test("a refusal in JSON names its reason", async () => {
  await using edge = await startEdge(createEchoRoutes().routes);
  const response = await fetch(`${edge.baseUrl}/${EchoService.typeName}/DescribeDevice`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  assert.equal(response.status, 401);
  const body = (await response.json()) as { code: string; details: { debug: unknown }[] };
  assert.equal(body.code, "unauthenticated");
  assert.deepEqual(body.details[0]?.debug, { reason: "DEVICE_REQUIRED", domain: "parley" });
});

test("a refused token is refused before the body is read", async () => {
  await using edge = await startEdge(createEchoRoutes().routes);
  const { hostname, port } = new URL(edge.baseUrl);
  const request = httpRequest({
    hostname,
    port,
    method: "POST",
    path: `/${EchoService.typeName}/Echo`,
    headers: {
      "content-type": "application/proto",
      "content-length": 1000,
      authorization: "Bearer bad",
    },
  });
  // Only the headers are sent: an answer cannot have waited for the body.
  request.flushHeaders();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  assert.equal(response.statusCode, 401);
  request.destroy();
});

test("another path is not found, unless somebody takes it", async () => {
  await using edge = await startEdge(createEchoRoutes().routes);
  assert.equal((await fetch(`${edge.baseUrl}/nowhere`)).status, 404);
  const taken = createEdgeHandler({
    routes: [],
    interceptors: [],
    limits,
    fallback: (_request, response) => response.end("taken"),
  });
  const server = createHttpServer(taken);
  const baseUrl = await listen(server);
  assert.equal(await (await fetch(`${baseUrl}/nowhere`)).text(), "taken");
  server.closeAllConnections();
  server.close();
  await once(server, "close");
});

test("health and reflection are served beside the routes", async () => {
  const server = createServer(createEdgeHandler({ routes: [], interceptors: [], limits }));
  const baseUrl = await listen(server);
  const sessionManager = new Http2SessionManager(baseUrl);
  const transport = createConnectTransport({ baseUrl, httpVersion: "2", sessionManager });
  assert.equal((await createClient(HealthService, transport).check({})).status, 1);
  async function* questions() {
    yield { messageRequest: { case: "listServices", value: "" } as const };
  }
  const reflection = createClient(ServerReflection, transport);
  const answers = [];
  for await (const answer of reflection.serverReflectionInfo(questions())) answers.push(answer);
  assert.match(JSON.stringify(answers[0]?.messageResponse.value), /grpc\.health\.v1\.Health/);
  sessionManager.abort();
  server.close();
  await once(server, "close");
});

test("a deadline that no timer can hold is refused instead of passing at once", async () => {
  await using edge = await startEdge(createEchoRoutes().routes);
  const response = await fetch(`${edge.baseUrl}/${EchoService.typeName}/Echo`, {
    method: "POST",
    headers: { "content-type": "application/json", "connect-timeout-ms": "9999999999" },
    body: JSON.stringify({ saying: { text: "hi", volume: "VOLUME_LOUD" } }),
  });
  assert.equal(((await response.json()) as { code: string }).code, "invalid_argument");
});
