import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, createClient, type Interceptor } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
} from "@parley/gen/grpc/health/v1/health_pb";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { callerKey } from "./caller.ts";
import { forkContextValues } from "./context-values.ts";
import { createDispatcher } from "./dispatch.ts";
import { createInProcessTransport } from "./in-process-host.ts";
import { defineRoute } from "./route.ts";
import { createEchoRoutes } from "./testing/echo-routes.ts";
import { refusalOf } from "./testing/refusal-of.ts";

test("interceptors run in order, the first outermost", async () => {
  const seen: string[] = [];
  const named =
    (name: string): Interceptor =>
    (next) =>
    async (request) => {
      seen.push(`> ${name}`);
      const response = await next(request);
      seen.push(`< ${name}`);
      return response;
    };
  const { routes } = createEchoRoutes();
  const interceptors = [named("a"), named("b")];
  const client = createClient(EchoService, createInProcessTransport({ routes, interceptors }));
  await client.change({ instruction: "" });
  assert.deepEqual(seen, ["> a", "> b", "< b", "< a"]);
});

test("an interceptor may replace parts of a request by spreading it", async () => {
  const replace: Interceptor = (next) => (request) => {
    const contextValues = forkContextValues().set(callerKey, {
      kind: "internal",
      service: "replaced",
    });
    const header = new Headers({ "x-say": "replaced" });
    return next({ ...request, contextValues, header });
  };
  const { routes } = createEchoRoutes();
  const transport = createInProcessTransport({ routes, interceptors: [replace] });
  const client = createClient(EchoService, transport);
  const { caller } = await client.describeService({});
  assert.equal(caller?.service, "replaced");
  let echoed: string | null | undefined;
  await client.change(
    { instruction: "headers" },
    {
      onHeader: (header) => {
        echoed = header.get("x-echo");
      },
    },
  );
  assert.equal(echoed, "replaced");
  // The signal is still the call's own.
  const late = client.change({ instruction: "wait" }, { timeoutMs: 10 });
  assert.equal((await refusalOf(late)).code, Code.DeadlineExceeded);
});

test("an RPC that no route serves is unimplemented", async () => {
  const transport = createInProcessTransport({
    routes: createEchoRoutes().routes,
    interceptors: [],
  });
  const client = createClient(Health, transport);
  assert.equal((await refusalOf(client.check({}))).code, Code.Unimplemented);
  const watching = client.watch({})[Symbol.asyncIterator]().next();
  assert.equal((await refusalOf(watching)).code, Code.Unimplemented);
});

test("two routes for one RPC are a mistake of the wiring", () => {
  const [echo] = createEchoRoutes().routes;
  assert.ok(echo);
  assert.throws(
    () => createDispatcher([echo, echo], []),
    /two routes serve parley\.internal\.testing/,
  );
});

test("methods keep the implementation that they belong to", async () => {
  class Implementation {
    readonly #status = Status.SERVING;
    check() {
      return { status: this.#status };
    }
    async *watch() {
      yield { status: this.#status };
    }
    list() {
      return {};
    }
  }
  const routes = [defineRoute(Health, new Implementation())];
  const client = createClient(Health, createInProcessTransport({ routes, interceptors: [] }));
  assert.equal((await client.check({})).status, 1);
});
