/** One grpc-js call from its first byte to its status. */
import {
  type DescMessage,
  type DescMethod,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import type {
  MethodDefinition,
  ServerDuplexStream,
  ServerUnaryCall,
  sendUnaryData,
} from "@grpc/grpc-js";
import { canceled, fromUnknown, invalidArgument } from "../errors.ts";
import type { Dispatch } from "./dispatch.ts";
import type { GrpcAuthenticator } from "./grpc-authenticator.ts";
import { toStatusObject } from "./grpc-status.ts";
import { createMessageWriter, readMessages, toBuffer } from "./grpc-streams.ts";
import { toHeaders, toMetadata } from "./headers.ts";
import { ServerCall } from "./server-call.ts";

/**
 * What grpc-js needs to know of a method. Requests stay bytes until our own code decodes them: grpc-js
 * would answer malformed ones with INTERNAL.
 */
export function definitionOf(method: DescMethod): MethodDefinition<Buffer, Message> {
  const unary = method.methodKind === "unary";
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: !unary,
    responseStream: !unary,
    requestSerialize: (bytes) => bytes,
    requestDeserialize: (bytes) => bytes,
    responseSerialize: (message) => toBuffer(toBinary(method.output, message)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

/** What a method's calls need. */
export type Handler = {
  readonly method: DescMethod;
  readonly dispatch: Dispatch;
  readonly authenticate: GrpcAuthenticator;
  /** Calls that are running. */
  readonly calls: Set<ServerCall>;
};

type UnaryCall = ServerUnaryCall<Buffer, Message>;
type StreamCall = ServerDuplexStream<Buffer, Message>;

/** grpc-js's handler of a method; every streaming kind is a duplex stream on the wire, and all three share one. */
export function handlerOf(handler: Handler) {
  return handler.method.methodKind === "unary"
    ? (grpc: UnaryCall, answer: sendUnaryData<Message>) => void serveUnary(handler, grpc, answer)
    : (grpc: StreamCall) => void serveStream(handler, grpc);
}

function openCall(handler: Handler, grpc: UnaryCall | StreamCall): ServerCall {
  const deadline = grpc.getDeadline();
  const expireTimeMs = typeof deadline === "number" ? deadline : deadline.getTime();
  const call = new ServerCall({
    method: handler.method,
    protocolName: "grpc",
    requestHeader: toHeaders(grpc.metadata),
    values: handler.authenticate(grpc.metadata, grpc.getPeer()),
    timeoutMs: Number.isFinite(expireTimeMs) ? expireTimeMs - Date.now() : undefined,
  });
  handler.calls.add(call);
  grpc.on("cancelled", () => call.abort(canceled()));
  return call;
}

async function serveUnary(
  handler: Handler,
  grpc: UnaryCall,
  answer: sendUnaryData<Message>,
): Promise<void> {
  let call: ServerCall | undefined;
  try {
    call = openCall(handler, grpc);
    const message = decode(handler.method.input, grpc.request);
    const response = await orAbort(call, handler.dispatch.unary(call, message));
    const { responseHeaderIfAny, responseTrailerIfAny } = call;
    if (responseHeaderIfAny !== undefined) grpc.sendMetadata(toMetadata(responseHeaderIfAny));
    answer(null, response.message, responseTrailerIfAny && toMetadata(responseTrailerIfAny));
  } catch (error) {
    answer(toStatusObject(fromUnknown(error), call?.responseTrailerIfAny));
  } finally {
    if (call !== undefined) {
      call.finish();
      handler.calls.delete(call);
    }
  }
}

function orAbort<T>(call: ServerCall, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    call.onAbort(reject);
    promise.then(resolve, reject);
  });
}

async function serveStream(handler: Handler, grpc: StreamCall): Promise<void> {
  let call: ServerCall | undefined;
  try {
    call = openCall(handler, grpc);
    const { messages, fail } = readMessages<Buffer>(grpc);
    const requests = decodeEach(handler.method.input, messages);
    await orAbort(
      call,
      pump(handler.dispatch, call, grpc, requests).finally(() => undefined),
    ).catch((error: unknown) => {
      fail(error);
      throw error;
    });
    grpc.end(call.responseTrailerIfAny && toMetadata(call.responseTrailerIfAny));
  } catch (error) {
    grpc.emit("error", toStatusObject(fromUnknown(error), call?.responseTrailerIfAny));
  } finally {
    if (call !== undefined) {
      call.finish();
      handler.calls.delete(call);
    }
  }
}

async function pump(
  dispatch: Dispatch,
  call: ServerCall,
  grpc: StreamCall,
  requests: AsyncIterable<Message>,
): Promise<void> {
  const response = await dispatch.stream(call, requests);
  const write = createMessageWriter<Message>(grpc, call.signal);
  let first = true;
  for await (const message of response.message) {
    if (call.abortReason !== undefined) return;
    if (first && call.responseHeaderIfAny !== undefined) {
      grpc.sendMetadata(toMetadata(call.responseHeaderIfAny));
    }
    first = false;
    const wait = write(message);
    if (wait !== undefined) await wait;
  }
}

function decode(schema: DescMessage, bytes: Buffer): Message {
  try {
    return fromBinary(schema, bytes);
  } catch {
    throw invalidArgument("", "The request is not a valid message.", "MALFORMED_MESSAGE");
  }
}

async function* decodeEach(
  schema: DescMessage,
  messages: AsyncIterable<Buffer>,
): AsyncGenerator<Message> {
  for await (const bytes of messages) yield decode(schema, bytes);
}
