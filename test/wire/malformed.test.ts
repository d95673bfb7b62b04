// Invariant 12: every input is bounded and validated, and refusals name the field. Each public RPC gets, as a signed-in
// device (or the operator), one request per way to break a rule of its fields, one per value at the edge of what is
// allowed, and bytes that are no request at all; all made from the contract. What comes back is a refusal that is the
// client's fault, never a failure of the server, and afterwards the server and another person's session still work.
import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";
import { type DescMethod, type Message, toJson } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import type { ParleyClient } from "@parley/sdk";
import { nextText, openPerson } from "../harness/clients.ts";
import { call, signUp } from "../harness/people.ts";
import { startTestServer, type TestServer } from "../harness/server.ts";
import { faultOf, malformedCalls, versionOf } from "./malformed-bytes.ts";
import { sampleMessage } from "./malformed-samples.ts";
import { brokenRequests, extremeRequests } from "./malformed-values.ts";
import {
  type Answer,
  ask,
  isForOperator,
  listPublicRpcs,
  type MalformedWorld,
  openMalformedWorld,
  operatorToken,
  transportOf,
} from "./malformed-world.ts";
import {
  createRawCaller,
  envelope,
  exchange,
  pathOf,
  type RawCall,
  type Road,
  roads,
} from "./raw-call.ts";

const rpcs = listPublicRpcs();
const counts = { rpcs: rpcs.length, broken: 0, extreme: 0, malformed: 0 };
const perRoad: Record<Road, number> = {
  "connect-json": 0,
  "connect-binary": 0,
  grpc: 0,
  "grpc-web": 0,
};
const validator = createValidator();

let server: TestServer;
let world: MalformedWorld;
let bystander: ParleyClient;

before(async () => {
  server = await startTestServer({
    environment: { PARLEY_GATEWAY_OPERATOR_TOKEN: operatorToken },
  });
  world = await openMalformedWorld(server);
  bystander = await openPerson(server, world.bystander.username, { existing: true });
});

after(async () => {
  await bystander.close();
  await server[Symbol.asyncDispose]();
});

/** Another person's session, opened before anything went wrong, still gets what is sent. */
async function assertServing(): Promise<void> {
  await call(server.port, "parley.ops.v1.OpsService/GetServerInfo", {});
  assert.equal(bystander.state.state, "online");
  const text = `still here ${Math.random()}`;
  const arrived = nextText(bystander, text);
  await bystander.conversation(world.conversationId).send(text).result;
  await arrived;
}

function tokenFor(method: DescMethod): string {
  return isForOperator(method) ? operatorToken : world.sender.accessToken;
}

/** Sends each message over the next road in turn, and returns what is wrong with the answers. */
async function walk(
  method: DescMethod,
  cases: readonly { path: string; how: string; message: Message }[],
  among: readonly Road[],
  faultIn: (answer: Answer, path: string) => string | undefined,
): Promise<string[]> {
  const faults: string[] = [];
  const offset = rpcs.findIndex((rpc) => rpc.method === method);
  const transports = new Map(
    among.map((road) => [road, transportOf(road, server, method, tokenFor(method))]),
  );
  for (const [at, { path, how, message }] of cases.entries()) {
    const road = among[(at + offset) % among.length] ?? "grpc";
    const transport = transports.get(road);
    assert.ok(transport);
    perRoad[road] += 1;
    const fault = faultIn(await ask(transport, method, message), path);
    if (fault !== undefined) faults.push(`${road}: ${path} ${how}: ${fault}`);
  }
  return faults;
}

function say(answer: Answer): string {
  return `${answer.code} ${answer.reason ?? "without a reason"} [${answer.fields}] ${answer.detail}`;
}

describe("malformed input", { concurrency: false }, () => {
  it("is made from every rule of the contract", () => {
    for (const { method } of rpcs) {
      const sample = sampleMessage(method.input, world.ids);
      assert.equal(validator.validate(method.input, sample).kind, "valid", method.name);
      for (const { path, how, message } of brokenRequests(method.input, world.ids)) {
        const result = validator.validate(method.input, message);
        assert.equal(result.kind, "invalid", `${method.name}: ${path} ${how}`);
      }
      for (const { path, how, message } of extremeRequests(method.input, world.ids)) {
        const result = validator.validate(method.input, message);
        assert.equal(result.kind, "valid", `${method.name}: ${path} ${how}`);
      }
    }
  });

  for (const { service, method } of rpcs) {
    describe(`${service.name}.${method.name}`, () => {
      it("names the field that breaks a rule", () => namesBrokenFields(method));
      it("answers values at the edge of what is allowed", () => answersExtremes(method));
      it("refuses what is no request", () => refusesNoRequests(method));
      it("refuses hosts that are no hosts", () => refusesHosts(method));
      it("ignores fields that it does not know", () => ignoresUnknownFields(method));
      after(assertServing);
    });
  }

  for (const version of [1, 2] as const) {
    it(`keeps an HTTP/${version} connection usable after refusing large bodies on it`, () =>
      survivesLargeBodies(version));
  }

  it("was walked over all four roads", (t: TestContext) => {
    for (const road of roads) assert.ok(perRoad[road] > 100, `${road}: ${perRoad[road]}`);
    const { broken, extreme, malformed } = counts;
    t.diagnostic(
      `${counts.rpcs} RPCs, ${broken} broken rules, ${extreme} extreme values, ${malformed} malformed requests`,
    );
    t.diagnostic(`messages per road: ${JSON.stringify(perRoad)}`);
  });
});

async function namesBrokenFields(method: DescMethod): Promise<void> {
  const cases = brokenRequests(method.input, world.ids);
  counts.broken += cases.length;
  const inSession = method.methodKind === "bidi_streaming";
  const faults = await walk(method, cases, roads, (answer, path) => {
    const named = inSession ? namesInSession(answer, path) : namesField(answer, path);
    return named ? undefined : say(answer);
  });
  assert.deepEqual(faults, []);
}

function namesField({ code, reason, fields }: Answer, path: string): boolean {
  return code === "invalid_argument" && reason === "INVALID_FIELD" && fields.includes(path);
}

/** A session goes on after a frame that it refuses; without a readable `open` there is none. */
function namesInSession(answer: Answer, path: string): boolean {
  const inFrame = path.replace(/^frame\./, "");
  if (path !== "frame" && !inFrame.startsWith("open.")) return namesField(answer, inFrame);
  const says = path === "frame" || answer.detail.includes(inFrame);
  // A token that cannot be one may also be refused as one that is none.
  if (inFrame === "open.access_token" && answer.reason === "UNAUTHENTICATED") return true;
  return answer.code === "goodbye" && answer.reason === "PROTOCOL_ERROR" && says;
}

const ourFaults = new Set(["internal", "unknown", "data_loss", "unavailable", "deadline_exceeded"]);

async function answersExtremes(method: DescMethod): Promise<void> {
  const cases = extremeRequests(method.input, world.ids);
  counts.extreme += cases.length;
  // JSON has no form for times beyond the calendar.
  const among = roads.filter((road) => road !== "connect-json");
  const faults = await walk(method, cases, among, (answer) =>
    ourFaults.has(answer.code) || answer.reason === "INTERNAL" ? say(answer) : undefined,
  );
  assert.deepEqual(faults, []);
}

/** A device of its own: what should be refused and is not, may sign it out. */
async function expendableToken(method: DescMethod): Promise<string> {
  if (isForOperator(method)) return operatorToken;
  const name = `x${method.parent.name}${method.name}`.toLowerCase().slice(0, 24);
  return (await signUp(server.port, `${name}${counts.malformed % 10_000}`)).accessToken;
}

async function refusesNoRequests(method: DescMethod): Promise<void> {
  const sample = sampleMessage(method.input, world.ids);
  const authorization = `Bearer ${await expendableToken(method)}`;
  await using raw = createRawCaller(server.port);
  const faults: string[] = [];
  for (const { name, version, call: sent, codes } of malformedCalls(method, sample)) {
    counts.malformed += 1;
    const headers = { authorization, ...sent.headers };
    const fault = await raw.call(version, { ...sent, headers }).then(
      (answer) => faultOf(answer, codes),
      (error: Error) => error.message,
    );
    if (fault !== undefined) faults.push(`${name}: ${fault}`);
  }
  assert.deepEqual(faults, []);
}

async function refusesHosts(method: DescMethod): Promise<void> {
  await using raw = createRawCaller(server.port);
  const path = pathOf(method);
  const type = "content-type: application/json\r\ncontent-length: 2\r\nconnection: close";
  const faults: string[] = [];
  const hosts = ["host: ][", "host: a b", "host: :80:80", "host: \u0001", "x: no host"].map(
    async (host) => {
      const head = `POST ${path} HTTP/1.1\r\n${host}\r\n${type}`;
      const answer = await exchange(server.port, `${head}\r\n\r\n{}`).catch(String);
      if (!/^HTTP\/1\.1 4\d\d /.test(answer)) faults.push(`${host}: ${answer.slice(0, 80)}`);
    },
  );
  const authorities = ["][", "a b"].map(async (authority) => {
    const headers = { ":authority": authority, "content-type": "application/json" };
    const sent = { path, headers, body: Buffer.from("{}") };
    const answer = await raw.call(2, sent).catch((error: Error) => ({
      status: -1,
      detail: error.message,
    }));
    // 0: HTTP/2 itself refused the header.
    const refused = answer.status === 0 || (answer.status >= 400 && answer.status < 500);
    if (!refused) faults.push(`:authority ${authority}: ${answer.status} ${answer.detail}`);
  });
  counts.malformed += hosts.length + authorities.length;
  await Promise.all([...hosts, ...authorities]);
  assert.deepEqual(faults, []);
}

/** A proxy puts many people's calls on one connection: what one of them is refused must not cost the others. */
async function survivesLargeBodies(version: 1 | 2): Promise<void> {
  await using raw = createRawCaller(server.port, 1);
  const { path, headers } = grpcServerInfo(version);
  for (let at = 0; at < LARGE_BODIES; at += 1) {
    counts.malformed += 1;
    const body = envelope(Buffer.alloc(3 * 1024 * 1024));
    const refused = await raw.call(version, { path, headers, body });
    assert.equal(refused.code, "resource_exhausted", `body ${at}: ${refused.detail}`);
    const answer = await raw.call(version, { path, headers, body: envelope(new Uint8Array()) });
    assert.equal(answer.code, "ok", `after body ${at}: ${answer.detail}`);
  }
}

const LARGE_BODIES = 20; // several times what one connection may hold

function grpcServerInfo(version: 1 | 2): Pick<RawCall, "path" | "headers"> {
  const type = version === 1 ? "application/grpc-web+proto" : "application/grpc+proto";
  const path = "/parley.ops.v1.OpsService/GetServerInfo";
  return { path, headers: { "content-type": type, te: "trailers" } };
}

/** Newer clients may say more than this server knows; that is no reason to refuse them. */
async function ignoresUnknownFields(method: DescMethod): Promise<void> {
  if (method.methodKind !== "unary") return;
  const authorization = `Bearer ${await expendableToken(method)}`;
  await using raw = createRawCaller(server.port);
  const answers: (string | undefined)[] = [];
  for (const more of [{}, { noSuchField: { deep: [1, {}, null] }, "": 1, __proto__: { a: 1 } }]) {
    counts.malformed += 1;
    const sample = toJson(method.input, sampleMessage(method.input, world.ids)) as object;
    const body = Buffer.from(JSON.stringify({ ...sample, ...more }));
    const headers = { authorization, "content-type": "application/json" };
    const { code } = await raw.call(versionOf("connect-json", method), {
      path: pathOf(method),
      headers,
      body,
    });
    answers.push(code);
  }
  const [plain, withMore] = answers;
  // What could be done once may find itself done: a username taken, a device signed out.
  const done = plain === "ok" && /^(already_exists|unauthenticated)$/.test(withMore ?? "");
  assert.ok(withMore === plain || done, `${plain}, and ${withMore} with unknown fields`);
}
