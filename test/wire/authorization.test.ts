// Invariant 9: authorization is default-deny. Every RPC of the contract is called as every kind of caller, against a
// real server; what must happen follows from the contract's `access` option and from one table. An RPC that is new
// and has no line in the table fails here.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type DescService,
  getOption,
  hasOption,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { Access, access, method_access } from "@parley/gen/parley/options/v1/access_pb";
import { reasonOf } from "@parley/platform/errors";
import { listServices } from "../harness/contract.ts";
import { startTestServer, type TestServer } from "../harness/server.ts";
import {
  type Answer,
  type CallerKind,
  callerKinds,
  type Line,
  lines,
  type World,
} from "./authorization-table.ts";
import { openTokenCallers, openWorld, type TokenKind } from "./authorization-world.ts";

let server: TestServer;
let tokenCallers: Record<TokenKind, Transport>;
let walked = 0;

before(async () => {
  server = await startTestServer();
  tokenCallers = await openTokenCallers(server);
});

after(async () => {
  await server[Symbol.asyncDispose]();
  assert.ok(walked > 400, `only ${walked} combinations were walked`);
});

function accessOf(method: DescMethod): Access {
  if (hasOption(method, method_access)) return getOption(method, method_access);
  return getOption(method.parent, access);
}

/** Calls the method and says what it was answered, in the table's words. */
async function ask(
  transport: Transport,
  method: DescMethod,
  request: Record<string, unknown>,
): Promise<Answer> {
  const signal = AbortSignal.timeout(10_000);
  try {
    if (method.methodKind === "unary") {
      await transport.unary(method as DescMethodUnary, signal, undefined, undefined, request);
      return "ok";
    }
    const requests = (async function* () {
      yield request;
      if (method.methodKind === "bidi_streaming")
        await new Promise((resolve) => setTimeout(resolve, 50));
    })();
    const response = await transport.stream(
      method as DescMethodStreaming,
      signal,
      undefined,
      undefined,
      requests,
    );
    for await (const message of response.message) {
      // A session over a stream says so in its first frame when it is refused.
      const goodbye = JSON.stringify(message, (_, value) =>
        typeof value === "bigint" ? `${value}` : value,
      );
      return goodbye.includes('"goodbye"') ? `unauthenticated/${goodbye}` : "ok";
    }
    return "ok";
  } catch (error) {
    const refusal = ConnectError.from(error);
    return `${snakeCase(Code[refusal.code])}/${reasonOf(refusal) ?? ""}`;
  }
}

function snakeCase(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
}

function nameOf(service: DescService, method: DescMethod): string {
  return `${service.name}.${method.name}`;
}

describe("authorization matrix", { concurrency: false }, () => {
  const publicServices = listServices().filter(
    (service) =>
      service.typeName.startsWith("parley.") && !service.typeName.startsWith("parley.internal."),
  );
  const internalServices = listServices().filter((service) =>
    service.typeName.startsWith("parley.internal."),
  );

  it("has a line for every public RPC and none for another", () => {
    const rpcs = publicServices.flatMap((service) =>
      service.methods.map((method) => nameOf(service, method)),
    );
    assert.deepEqual(Object.keys(lines).toSorted(), rpcs.toSorted());
  });

  it("finds an access option on every RPC", () => {
    for (const service of listServices()) {
      if (!service.typeName.startsWith("parley.")) continue;
      for (const method of service.methods) {
        assert.notEqual(accessOf(method), Access.UNSPECIFIED, nameOf(service, method));
      }
    }
  });

  for (const { service, method } of rpcsOf(internalServices)) {
    it(`${service.typeName}.${method.name} is not on the public port, for anybody`, async () => {
      for (const [kind, transport] of Object.entries(tokenCallers)) {
        const answer = await ask(transport, method, {});
        assert.match(answer, /^(unimplemented|permission_denied|not_found)\//, kind);
        walked += 1;
      }
    });
  }

  for (const { service, method } of rpcsOf(publicServices)) {
    const line = lines[nameOf(service, method)];
    if (line) describe(nameOf(service, method), () => walk(method, line));
  }
});

/** Calls one RPC as everybody, in a world of its own. */
function walk(method: DescMethod, line: Line): void {
  const needed = accessOf(method);
  let world: World;
  let callers: Record<CallerKind, Transport>;
  before(async () => {
    ({ world, callers } = await openWorld(server));
  });
  const expectAnswer = async (transport: Transport, check: (answer: Answer) => void) => {
    check(await ask(transport, method, line.request(world)));
    walked += 1;
  };
  for (const kind of ["anonymous", "garbage", "revoked"] as const) {
    it(`as ${kind}`, () =>
      expectAnswer(tokenCallers[kind], (answer) => {
        if (needed === Access.PUBLIC) assert.equal(answer, line.anybody ?? "ok");
        else assert.match(answer, /^unauthenticated\//);
      }));
  }
  it("as operator", () =>
    expectAnswer(tokenCallers.operator, (answer) => {
      if (needed === Access.DEVICE) assert.match(answer, /^(unauthenticated|permission_denied)\//);
      else assert.equal(answer, line.anybody ?? "ok");
    }));
  for (const kind of callerKinds) {
    it(`as ${kind}`, () =>
      expectAnswer(callers[kind], (answer) => {
        if (needed === Access.OPERATOR) assert.match(answer, /^permission_denied\//);
        else assert.equal(answer, line[kind] ?? line.anybody ?? "ok");
      }));
  }
}

function rpcsOf(services: readonly DescService[]): { service: DescService; method: DescMethod }[] {
  return services.flatMap((service) => service.methods.map((method) => ({ service, method })));
}
