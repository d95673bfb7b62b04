/** One suite for every host: what a handler and a caller may rely on, whatever is between them. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  type Client,
  Code,
  type ConnectError,
  createClient,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { BadRequestSchema } from "@parley/gen/google/rpc/error_details_pb";
import { Volume } from "@parley/gen/parley/internal/testing/v1/echo_pb";
import {
  EchoService,
  UndeclaredService,
} from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { errorInfoOf, reasonOf, retryAfterMsOf } from "../errors.ts";
import { silentTelemetry } from "../telemetry/telemetry.ts";
import type { Caller } from "./caller.ts";
import { standardInterceptors } from "./interceptors/standard.ts";
import type { Routes } from "./route.ts";
import { createEchoRoutes, type EchoRoutes, SECRET_CAUSE } from "./testing/echo-routes.ts";
import { refusalOf } from "./testing/refusal-of.ts";

export type HostUnderTest = AsyncDisposable & {
  /** A transport whose calls the host sees as this caller's. */
  transport(caller: Caller): Transport;
};

export type HostSuite = {
  readonly name: string;
  readonly start: (options: {
    readonly routes: Routes;
    readonly interceptors: readonly Interceptor[];
  }) => Promise<HostUnderTest>;
  /** False at the edge, where nobody can be another part of the server. */
  readonly internalCallers: boolean;
  /** False in process, where messages have no size. */
  readonly limitsSize: boolean;
};

/** Messages above it are refused by the hosts of the suite that limit size. */
export const SUITE_MESSAGE_BYTES_MAX = 64 * 1024;
export const SUITE_OPERATOR_TOKEN = "operator-token";

/** The deadline of unary calls that set none; the suite sees it pass. */
const DEFAULT_DEADLINE_MS = 150;

const PUBLIC: Caller = { kind: "public" };
const DEVICE: Caller = { kind: "device", userId: "u-1", deviceId: "d-1", expireTimeMs: 4e12 };
const INTERNAL: Caller = { kind: "internal", service: "tester" };
const OPERATOR: Caller = { kind: "operator" };

const saying = { text: "hello", volume: Volume.QUIET };

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

type Suite = {
  readonly echo: EchoRoutes;
  readonly host: HostUnderTest;
  client(caller?: Caller): Client<typeof EchoService>;
};

/** Runs the suite on one host. */
export function runHostSuite(suite: HostSuite): void {
  describe(`${suite.name} host`, () => {
    // The handler's observations are per instance, so tests that need a fresh one start their own.
    let shared: Suite & AsyncDisposable;
    const start = async (): Promise<Suite & AsyncDisposable> => {
      const echo = createEchoRoutes();
      const interceptors = standardInterceptors(silentTelemetry(), {
        operatorToken: SUITE_OPERATOR_TOKEN,
        deadline: { defaultMs: DEFAULT_DEADLINE_MS, maxMs: 5000 },
      });
      const host = await suite.start({ routes: echo.routes, interceptors });
      return {
        echo,
        host,
        client: (caller = PUBLIC) => createClient(EchoService, host.transport(caller)),
        [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
      };
    };
    before(async () => {
      shared = await start();
    });
    after(() => shared[Symbol.asyncDispose]());
    const client = (caller?: Caller) => shared.client(caller);

    testKinds(client);
    testErrors(client);
    testEnds(start);
    testAccess(suite, client, () => shared.host);
    testRules(client);
    if (suite.limitsSize) testLimits(client);
  });
}

type GetClient = (caller?: Caller) => Client<typeof EchoService>;
type Start = () => Promise<Suite & AsyncDisposable>;

function testKinds(client: GetClient): void {
  test("a unary call gives the handler's answer", async () => {
    const response = await client().echo({ saying });
    assert.equal(response.saying?.text, "hello");
    assert.equal(response.saying?.$typeName, "parley.internal.testing.v1.Saying");
  });

  for (const count of [0, 1, 1000]) {
    test(`a server stream gives ${count} answers in order`, async () => {
      const responses = await collect(client().expand({ count }));
      assert.deepEqual(
        responses.map((response) => response.number),
        Array.from({ length: count }, (_, number) => number),
      );
    });
  }

  test("a client stream is answered once, after its end", async () => {
    async function* numbers() {
      for (let number = 1; number <= 100; number++) yield { number };
    }
    assert.equal((await client().collect(numbers())).sum, 5050n);
  });

  test("an empty client stream is answered", async () => {
    assert.equal((await client().collect(noRequests())).sum, 0n);
  });

  test("a bidirectional stream answers each message before the next is sent", async () => {
    const turns = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    async function* requests() {
      yield { text: "one" };
      await turns[0]?.promise;
      yield { text: "two" };
      await turns[1]?.promise;
    }
    const seen: string[] = [];
    for await (const { text } of client().converse(requests())) {
      turns[seen.length]?.resolve();
      seen.push(text);
    }
    assert.deepEqual(seen, ["one!", "two!"]);
  });

  test("headers travel both ways, trailers back", async () => {
    let header: Headers | undefined;
    let trailer: Headers | undefined;
    await client().change(
      { instruction: "headers" },
      {
        headers: { "x-say": "ping" },
        onHeader: (received) => {
          header = received;
        },
        onTrailer: (received) => {
          trailer = received;
        },
      },
    );
    assert.equal(header?.get("x-echo"), "ping");
    assert.equal(trailer?.get("x-after"), "later");
  });

  test("a hundred calls at once keep their answers apart", async () => {
    const texts = Array.from({ length: 100 }, (_, index) => `text ${index}`);
    const answers = await Promise.all(
      texts.map((text) => client().echo({ saying: { text, volume: Volume.LOUD } })),
    );
    assert.deepEqual(
      answers.map((answer) => answer.saying?.text),
      texts,
    );
  });
}

function testErrors(client: GetClient): void {
  test("a refusal arrives with its code, text, reason and metadata", async () => {
    const error = await refusalOf(client().change({ instruction: "refuse" }));
    assert.equal(error.code, Code.FailedPrecondition);
    assert.equal(error.rawMessage, "Not now, Zoë.");
    const info = errorInfoOf(error);
    assert.equal(info?.reason, "WRONG_MOMENT");
    assert.deepEqual({ ...info?.metadata }, { phase: "3" });
  });

  test("a refusal arrives with the time to wait", async () => {
    const error = await refusalOf(client().change({ instruction: "exhaust" }));
    assert.equal(error.code, Code.ResourceExhausted);
    assert.equal(retryAfterMsOf(error), 1500);
  });

  test("a bug is internal, and says nothing about itself", async () => {
    const error = await refusalOf(client().change({ instruction: "throw" }));
    assert.equal(error.code, Code.Internal);
    assert.equal(reasonOf(error), "INTERNAL");
    assert.doesNotMatch(error.message, new RegExp(SECRET_CAUSE));
  });

  test("a cause is in no header, trailer or detail", async () => {
    const error = await refusalOf(client().change({ instruction: "unavailable" }));
    assert.equal(error.code, Code.Unavailable);
    const shown = JSON.stringify([...error.metadata]) + JSON.stringify(error.details.map(String));
    assert.doesNotMatch(shown + error.message, new RegExp(SECRET_CAUSE));
  });

  test("a stream that fails gives what came before, then the refusal", async () => {
    const seen: number[] = [];
    const reading = (async () => {
      for await (const { number } of client().expand({ count: 3, ending: "fail" }))
        seen.push(number);
    })();
    const error = await refusalOf(reading);
    assert.equal(reasonOf(error), "WRONG_MOMENT");
    assert.deepEqual(seen, [0, 1, 2]);
  });
}

function testEnds(start: Start): void {
  test("a caller's deadline ends the call for both sides", async () => {
    await using suite = await start();
    const call = suite.client().change({ instruction: "wait" }, { timeoutMs: 50 });
    assert.equal((await refusalOf(call)).code, Code.DeadlineExceeded);
    await suite.echo.aborted();
  });

  test("a handler that ignores its signal is answered for when the default deadline passes", async () => {
    await using suite = await start();
    const error = await refusalOf(suite.client().change({ instruction: "ignore" }));
    assert.equal(error.code, Code.DeadlineExceeded);
    assert.equal(reasonOf(error), "DEADLINE_EXCEEDED");
    await suite.echo.aborted();
  });

  test("a caller's deadline ends a stream", async () => {
    await using suite = await start();
    const call = collect(suite.client().expand({ count: 1, ending: "wait" }, { timeoutMs: 50 }));
    assert.equal((await refusalOf(call)).code, Code.DeadlineExceeded);
    await suite.echo.left();
  });

  test("a caller's signal ends a unary call", async () => {
    await using suite = await start();
    const controller = new AbortController();
    const call = suite.client().change({ instruction: "wait" }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 30);
    assert.equal((await refusalOf(call)).code, Code.Canceled);
    await suite.echo.aborted();
  });

  test("a signal that has aborted refuses the call before it is made", async () => {
    await using suite = await start();
    const signal = AbortSignal.abort();
    const call = suite.client().change({ instruction: "observe" }, { signal });
    assert.equal((await refusalOf(call)).code, Code.Canceled);
    assert.equal(suite.echo.calls, 0);
  });

  test("a caller's signal ends a stream, and the handler leaves its loop", async () => {
    await using suite = await start();
    const controller = new AbortController();
    const reading = (async () => {
      const stream = suite
        .client()
        .expand({ count: 2, ending: "wait" }, { signal: controller.signal });
      for await (const { number } of stream) if (number === 1) controller.abort();
    })();
    assert.equal((await refusalOf(reading)).code, Code.Canceled);
    await suite.echo.left();
    await suite.echo.aborted();
  });

  test("a caller that ends its side of a conversation ends the handler's loop", async () => {
    await using suite = await start();
    assert.deepEqual(await collect(suite.client().converse(noRequests())), []);
    await suite.echo.left();
  });

  test("the handler's signal aborts after the answer, so that what it started for it stops", async () => {
    await using suite = await start();
    await suite.client().change({ instruction: "observe" });
    await suite.echo.aborted();
  });
}

function testAccess(suite: HostSuite, client: GetClient, host: () => HostUnderTest): void {
  const callers = suite.internalCallers
    ? [PUBLIC, DEVICE, INTERNAL, OPERATOR]
    : [PUBLIC, DEVICE, OPERATOR];
  // Who is admitted, and with what everybody else is refused.
  const rows = [
    { rpc: "describeDevice", admits: "device", otherwise: Code.Unauthenticated },
    { rpc: "describeService", admits: "internal", otherwise: Code.PermissionDenied },
    { rpc: "describeOperator", admits: "operator", otherwise: undefined },
  ] as const;
  for (const { rpc, admits, otherwise } of rows) {
    for (const caller of callers) {
      // Whoever is in the same process as the handler is the operator as well.
      const sameProcess = suite.name === "in-process" && caller.kind === "internal";
      const admitted = caller.kind === admits || (admits === "operator" && sameProcess);
      test(`${rpc} ${admitted ? "admits" : "refuses"} a caller that is ${caller.kind}`, async () => {
        if (admitted) {
          const response = await client(caller)[rpc]({});
          assert.equal(response.caller?.kind, caller.kind);
          return;
        }
        const error = await refusalOf(client(caller)[rpc]({}));
        const expected =
          otherwise ?? (caller.kind === "device" ? Code.PermissionDenied : Code.Unauthenticated);
        assert.equal(error.code, expected);
        assert.notEqual(reasonOf(error), undefined);
      });
    }
  }

  test("the device and its person arrive as the caller gave them", async () => {
    const { caller } = await client(DEVICE).describeDevice({});
    assert.equal(caller?.userId, "u-1");
    assert.equal(caller?.deviceId, "d-1");
  });

  for (const caller of callers) {
    test(`an RPC without declared access refuses a caller that is ${caller.kind}`, async () => {
      const undeclared = createClient(UndeclaredService, host().transport(caller));
      const error = await refusalOf(undeclared.reach({}));
      assert.equal(error.code, Code.PermissionDenied);
      assert.equal(reasonOf(error), "ACCESS_UNDECLARED");
    });
  }
}

function testRules(client: GetClient): void {
  const fieldsOf = (error: ConnectError) =>
    error
      .findDetails(BadRequestSchema)
      .flatMap((detail) => detail.fieldViolations.map((v) => v.field));

  test("a request that breaks rules is refused with every field named", async () => {
    const long = "x".repeat(65);
    const quotes = [
      { text: "ok", volume: Volume.QUIET },
      { text: "", volume: Volume.QUIET },
    ];
    const error = await refusalOf(client().echo({ saying: { text: long, quotes } }));
    assert.equal(error.code, Code.InvalidArgument);
    assert.equal(reasonOf(error), "INVALID_FIELD");
    assert.deepEqual(fieldsOf(error), ["saying.text", "saying.volume", "saying.quotes[1].text"]);
    assert.match(error.rawMessage, /saying\.text: /);
    assert.doesNotMatch(error.rawMessage, /xxx/);
  });

  test("a missing required message and an unknown enum value are refused", async () => {
    assert.deepEqual(fieldsOf(await refusalOf(client().echo({}))), ["saying"]);
    const unknown = { text: "a", volume: 77 as Volume };
    assert.deepEqual(fieldsOf(await refusalOf(client().echo({ saying: unknown }))), [
      "saying.volume",
    ]);
  });

  test("a request that breaks rules never reaches a server stream's handler", async () => {
    const error = await refusalOf(collect(client().expand({ count: 100_001 })));
    assert.deepEqual(fieldsOf(error), ["count"]);
  });

  test("each message of a client stream is checked", async () => {
    async function* numbers() {
      yield { number: 1000 };
      yield { number: 1001 };
    }
    assert.deepEqual(fieldsOf(await refusalOf(client().collect(numbers()))), ["number"]);
  });

  test("each message of a conversation is checked", async () => {
    async function* texts() {
      yield { text: "fine" };
      yield { text: "" };
    }
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { text } of client().converse(texts())) seen.push(text);
    })();
    assert.deepEqual(fieldsOf(await refusalOf(reading)), ["text"]);
    assert.deepEqual(seen, ["fine!"]);
  });
}

function testLimits(client: GetClient): void {
  const payload = new Uint8Array(SUITE_MESSAGE_BYTES_MAX + 1);

  test("a request above the limit is refused, and the next one is served", async () => {
    // One whose answer is small, so that it is the request that is measured.
    const error = await refusalOf(client().change({ instruction: "x".repeat(payload.length) }));
    assert.equal(error.code, Code.ResourceExhausted);
    assert.equal((await client().echo({ saying })).saying?.text, "hello");
  });

  test("a request below the limit is served", async () => {
    // JSON carries bytes as base64, a third larger.
    const fitting = payload.subarray(0, SUITE_MESSAGE_BYTES_MAX / 2);
    const response = await client().echo({ saying: { ...saying, payload: fitting } });
    assert.equal(response.saying?.payload.length, fitting.length);
  });
}

async function* noRequests(): AsyncGenerator<never> {
  // A stream that ends before its first message.
}
