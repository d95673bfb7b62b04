/** RPCs made by hand over each of the roads, so that a test decides about every byte of them. */
import { once } from "node:events";
import { Agent, request as httpRequest } from "node:http";
import { type ClientHttp2Session, connect as http2Connect } from "node:http2";
import { connect as netConnect } from "node:net";
import { text } from "node:stream/consumers";
import { type DescMethod, fromBinary, fromJsonString } from "@bufbuild/protobuf";
import { GoodbyeReasonSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import { ConnectResponseSchema } from "@parley/gen/parley/realtime/v1/realtime_service_pb";

export const roads = ["connect-json", "connect-binary", "grpc", "grpc-web"] as const;
export type Road = (typeof roads)[number];

/** An answer that takes longer than this is taken for none. */
const ANSWER_MS_MAX = 5_000;
const SESSION_MEMORY_MB_MAX = 1_000;

export type RawCall = {
  readonly path: string;
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  /** True if the answer is a stream of session frames, which may end with a goodbye. */
  readonly session?: boolean;
};

export type RawAnswer = {
  /** The HTTP status; 0 if the connection ended without one. */
  readonly status: number;
  /** The gRPC code as a word; "ok" for success, "goodbye REASON" for a session's; undefined if only HTTP speaks. */
  readonly code: string | undefined;
  /** What was said, for the test's message. */
  readonly detail: string;
};

export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

export function contentTypeOf(road: Road, method: DescMethod): string {
  if (road === "grpc") return "application/grpc+proto";
  if (road === "grpc-web") return "application/grpc-web+proto";
  const format = road === "connect-json" ? "json" : "proto";
  return method.methodKind === "unary" ? `application/${format}` : `application/connect+${format}`;
}

/** True where a message stands in an envelope of flags and length. */
export function isEnveloped(road: Road, method: DescMethod): boolean {
  return road === "grpc" || road === "grpc-web" || method.methodKind !== "unary";
}

/** Flags, length, message (Connect's and gRPC's common framing); `length` may lie. */
export function envelope(message: Uint8Array, flags = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

/** Calls over HTTP/1.1 or HTTP/2, on connections that are kept. Bidirectional streams and gRPC need HTTP/2. */
export type RawCaller = AsyncDisposable & {
  call(version: 1 | 2, call: RawCall): Promise<RawAnswer>;
};

export function createRawCaller(port: number, connections = 4): RawCaller {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  let session: ClientHttp2Session | undefined;
  const http2 = async () => {
    if (session && !session.closed && !session.destroyed) return session;
    // What was not sent of a refused body counts against the client's own bound for ever.
    const maxSessionMemory = SESSION_MEMORY_MB_MAX;
    session = http2Connect(`http://127.0.0.1:${port}`, { maxSessionMemory });
    session.on("error", () => {}); // each call has its own error
    await once(session, "connect");
    return session;
  };
  return {
    async call(version, call) {
      const signal = AbortSignal.timeout(ANSWER_MS_MAX);
      return version === 1
        ? callHttp1(port, agent, call, signal)
        : callHttp2(await http2(), call, signal);
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
      session?.destroy();
    },
  };
}

async function callHttp1(
  port: number,
  agent: Agent,
  { path, method = "POST", headers, body, session = false }: RawCall,
  signal: AbortSignal,
): Promise<RawAnswer> {
  const outgoing = httpRequest({
    host: "127.0.0.1",
    port,
    path,
    method,
    agent,
    signal,
    headers: { ...headers, ...(body ? { "content-length": body.length } : {}) },
  });
  // A server may answer and close before it has read everything; the answer counts.
  const answered = new Promise<RawAnswer>((resolve, reject) => {
    outgoing.once("response", (incoming) => {
      const chunks: Buffer[] = [];
      const finish = () =>
        resolve(
          readAnswer({
            status: incoming.statusCode ?? 0,
            head: incoming.headers,
            body: Buffer.concat(chunks),
            trailers: incoming.trailers,
            session,
          }),
        );
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.once("end", finish);
      incoming.once("error", finish);
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      if (signal.aborted) reject(new Error(`no answer: ${method} ${path}`));
      else resolve({ status: 0, code: undefined, detail: `${error.code}: ${error.message}` });
    });
  });
  outgoing.end(body);
  return answered;
}

async function callHttp2(
  connection: ClientHttp2Session,
  { path, method = "POST", headers, body, session = false }: RawCall,
  signal: AbortSignal,
): Promise<RawAnswer> {
  const stream = connection.request({ ":path": path, ":method": method, ...headers }, { signal });
  return new Promise((resolve, reject) => {
    let head: Record<string, unknown> = {};
    let trailers: Record<string, unknown> = {};
    const chunks: Buffer[] = [];
    const finish = () => {
      const status = Number(head[":status"] ?? 0);
      const answer = readAnswer({ status, head, body: Buffer.concat(chunks), trailers, session });
      const reset = stream.rstCode ? ` (reset with ${stream.rstCode})` : "";
      resolve({ ...answer, detail: `${answer.detail}${reset}` });
      // A server may answer before it has read everything; what is left is not sent.
      stream.close();
    };
    stream.on("response", (received) => {
      head = received;
    });
    stream.on("trailers", (received) => {
      trailers = received;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", () => {}); // `close` follows, with the code of the reset
    stream.on("end", () => {
      if (head[":status"] !== undefined) finish();
    });
    stream.on("close", () => {
      if (signal.aborted) reject(new Error(`no answer: ${method} ${path}`));
      else finish();
    });
    stream.end(body);
  });
}

const codeNames = [
  "ok",
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
];

type Received = {
  readonly status: number;
  readonly head: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly session: boolean;
};

function readAnswer({ status, head, body, trailers, session }: Received): RawAnswer {
  const type = String(head["content-type"] ?? "");
  const goodbye = session && status === 200 ? readGoodbye(type, body) : undefined;
  if (goodbye !== undefined) return { status, ...goodbye };
  const grpcStatus = trailers["grpc-status"] ?? head["grpc-status"] ?? inBodyStatus(type, body);
  if (grpcStatus !== undefined) {
    const message = trailers["grpc-message"] ?? head["grpc-message"] ?? "";
    const code = codeNames[Number(grpcStatus)] ?? String(grpcStatus);
    return { status, code, detail: decodeURIComponent(String(message)) };
  }
  if (type.startsWith("application/connect+")) return readEndOfStream(status, body);
  if (type.startsWith("application/json") && status !== 200) {
    const error = JSON.parse(body.toString()) as { code?: string; message?: string };
    return { status, code: error.code, detail: error.message ?? "" };
  }
  if (status === 200 && /^application\/(json|proto)/.test(type))
    return { status, code: "ok", detail: "" };
  return { status, code: undefined, detail: body.subarray(0, 200).toString() };
}

type Enveloped = { readonly flags: number; readonly message: Buffer };

function readEnvelopes(body: Buffer): Enveloped[] {
  const found: Enveloped[] = [];
  for (let at = 0; at + 5 <= body.length; ) {
    const length = body.readUInt32BE(at + 1);
    found.push({ flags: body[at] ?? 0, message: body.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return found;
}

/** The goodbye of a session, which a stream carries as a message and not as its status. */
function readGoodbye(type: string, body: Buffer): Pick<RawAnswer, "code" | "detail"> | undefined {
  for (const { flags, message } of readEnvelopes(body)) {
    if (flags !== 0) continue;
    const { frame } = type.endsWith("+json")
      ? fromJsonString(ConnectResponseSchema, message.toString(), { ignoreUnknownFields: true })
      : fromBinary(ConnectResponseSchema, message);
    if (frame?.frame.case !== "goodbye") continue;
    const { reason, detail } = frame.frame.value;
    return { code: `goodbye ${GoodbyeReasonSchema.value[reason]?.localName}`, detail };
  }
  return undefined;
}

/** The trailers that gRPC-Web puts into the body. */
function inBodyStatus(type: string, body: Buffer): string | undefined {
  if (!type.startsWith("application/grpc-web")) return undefined;
  return /grpc-status: ?(\d+)/i.exec(body.toString("latin1"))?.[1];
}

/** The last envelope of a Connect stream says how it ended. */
function readEndOfStream(status: number, body: Buffer): RawAnswer {
  const last = readEnvelopes(body).find(({ flags }) => (flags & 2) === 2);
  if (last === undefined) return { status, code: undefined, detail: "the stream has no end" };
  const { error } = JSON.parse(last.message.toString()) as {
    error?: { code?: string; message?: string };
  };
  return { status, code: error?.code ?? "ok", detail: error?.message ?? "" };
}

/** Writes bytes to the port and returns everything that comes back until the server closes. */
export async function exchange(port: number, bytes: string | Uint8Array): Promise<string> {
  const socket = netConnect({ port, host: "127.0.0.1" });
  socket.on("error", () => {}); // a reset ends the answer as well
  socket.setTimeout(ANSWER_MS_MAX, () => socket.destroy(new Error("no answer")));
  socket.write(bytes);
  try {
    return await text(socket);
  } catch (error) {
    if (error instanceof Error && error.message === "no answer") throw error;
    return "";
  }
}
