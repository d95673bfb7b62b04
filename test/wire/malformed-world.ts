/** Who sends malformed requests, over which road, and what a refusal says. */
import { randomUUID } from "node:crypto";
import type {
  DescMethod,
  DescMethodStreaming,
  DescMethodUnary,
  DescService,
  Message,
} from "@bufbuild/protobuf";
import { getOption, hasOption } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { BadRequestSchema } from "@parley/gen/google/rpc/error_details_pb";
import { Access, access, method_access } from "@parley/gen/parley/options/v1/access_pb";
import {
  type GoodbyeReason,
  GoodbyeReasonSchema,
  type ServerFrame,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import type { SubscribeResponse as Framed } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { errorInfoOf } from "@parley/platform/errors";
import { listServices } from "../harness/contract.ts";
import { createGroup, type Person, signUp } from "../harness/people.ts";
import type { TestServer } from "../harness/server.ts";
import type { Ids } from "./malformed-samples.ts";
import { askSession } from "./malformed-session.ts";
import type { Road } from "./raw-call.ts";

/** At least 16 characters, as the gateway asks. */
export const operatorToken = "operator-token-for-tests";

/** Every RPC that is on the public port. */
export function listPublicRpcs(): { service: DescService; method: DescMethod }[] {
  return listServices()
    .filter(({ typeName }) => typeName.startsWith("parley.") && !typeName.includes(".internal."))
    .flatMap((service) => service.methods.map((method) => ({ service, method })));
}

export function isForOperator(method: DescMethod): boolean {
  const own = hasOption(method, method_access) ? getOption(method, method_access) : undefined;
  return (own ?? getOption(method.parent, access)) === Access.OPERATOR;
}

export type MalformedWorld = {
  readonly sender: Person;
  readonly bystander: Person;
  /** The group of both. */
  readonly conversationId: string;
  /** Ids that exist wherever a request names a person or a conversation. */
  readonly ids: Ids;
};

export async function openMalformedWorld(server: TestServer): Promise<MalformedWorld> {
  const [sender, bystander] = await Promise.all([
    signUp(server.port, "sender"),
    signUp(server.port, "bystander"),
  ]);
  const conversationId = await createGroup(server.port, [sender, bystander]);
  const ids: Ids = (field) => {
    if (field === "conversation_id") return conversationId;
    if (field === "user_id" || field === "user_ids") return bystander.userId;
    return randomUUID();
  };
  return { sender, bystander, conversationId, ids };
}

/** A client of one road that calls with a token. */
export function transportOf(
  road: Road,
  server: TestServer,
  method: DescMethod,
  token: string,
): Transport {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  // A bidirectional stream needs HTTP/2; elsewhere browsers' HTTP/1.1 is what the road is for.
  const httpVersion = method.methodKind === "bidi_streaming" ? "2" : "1.1";
  const baseUrl = server.url;
  const interceptors = [authorize];
  switch (road) {
    case "connect-json":
      return createConnectTransport({ baseUrl, httpVersion, interceptors, useBinaryFormat: false });
    case "connect-binary":
      return createConnectTransport({ baseUrl, httpVersion, interceptors, useBinaryFormat: true });
    case "grpc":
      return createGrpcTransport({ baseUrl, interceptors });
    case "grpc-web":
      return createGrpcWebTransport({ baseUrl, httpVersion, interceptors });
  }
}

export type Answer = {
  /** The code in snake case; "ok" for success. */
  readonly code: string;
  readonly reason: string | undefined;
  /** The fields that a refusal names. */
  readonly fields: readonly string[];
  readonly detail: string;
};

const ok: Answer = { code: "ok", reason: undefined, fields: [], detail: "" };
const ANSWER_MS_MAX = 10_000;

/** Calls with one message and says what came back; of a stream, its first frame or its end. */
export async function ask(
  transport: Transport,
  method: DescMethod,
  message: Message,
): Promise<Answer> {
  const ending = new AbortController();
  const signal = AbortSignal.any([ending.signal, AbortSignal.timeout(ANSWER_MS_MAX)]);
  try {
    if (method.methodKind === "unary") {
      const unary = method as DescMethodUnary;
      await transport.unary(unary, signal, undefined, undefined, message);
      return ok;
    }
    const stream = method as DescMethodStreaming;
    if (method.methodKind === "bidi_streaming") {
      return readFrame(await askSession(transport, stream, message, signal));
    }
    const requests = (async function* () {
      yield message;
    })();
    const response = await transport.stream(stream, signal, undefined, undefined, requests);
    for await (const answer of response.message) return readFrame((answer as Framed).frame);
    return ok;
  } catch (error) {
    return readRefusal(ConnectError.from(error));
  } finally {
    ending.abort();
  }
}

function readRefusal(refusal: ConnectError): Answer {
  const [badRequest] = refusal.findDetails(BadRequestSchema);
  const fields = badRequest?.fieldViolations.map((violation) => violation.field) ?? [];
  const reason = errorInfoOf(refusal)?.reason;
  return { code: codeName(refusal.code), reason, fields, detail: refusal.rawMessage };
}

/** What a session says about a frame. */
function readFrame(answer: ServerFrame | undefined): Answer {
  const frame = answer?.frame;
  switch (frame?.case) {
    case "refused": {
      const { code, reason, field, description } = frame.value;
      return { code: codeName(code), reason, fields: [field], detail: description };
    }
    case "goodbye": {
      const { reason, detail } = frame.value;
      return { code: "goodbye", reason: goodbyeName(reason), fields: [], detail };
    }
    default:
      return ok;
  }
}

function goodbyeName(reason: GoodbyeReason): string {
  return GoodbyeReasonSchema.value[reason]?.localName ?? String(reason);
}

function codeName(code: number): string {
  const name = Code[code] ?? String(code);
  return name.replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
}
