/** One malformed frame in a session over `RealtimeService.Connect`, and what the session answers. */

import type { DescMethodStreaming } from "@bufbuild/protobuf";
import { create, type Message } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import type { ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import {
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
} from "@parley/gen/parley/realtime/v1/realtime_service_pb";

const BROKEN_ID = 2n;
const HEARTBEAT_ID = 3n;

/**
 * Sends the frame, behind an `open` unless it is one itself, and a heartbeat behind it. Returns the frame that answers
 * it: a refusal, the session's goodbye, its own answer, or the heartbeat's if it gets none.
 */
export async function askSession(
  transport: Transport,
  method: DescMethodStreaming,
  message: Message,
  signal: AbortSignal,
): Promise<ServerFrame | undefined> {
  const request = message as ConnectRequest;
  const { frame } = request;
  if (frame?.requestId === 0n) frame.requestId = BROKEN_ID;
  const opens = frame?.frame.case === "open";
  const ended = Promise.withResolvers<void>();
  const requests = (async function* () {
    if (!opens) yield openRequest;
    yield request;
    yield heartbeatRequest;
    await ended.promise; // the client's side stays open until the answer is there
  })();
  try {
    const response = await transport.stream(method, signal, undefined, undefined, requests);
    for await (const answer of response.message) {
      const answered = (answer as ConnectResponse).frame;
      if (answered && isAnswer(answered, frame?.requestId ?? BROKEN_ID)) return answered;
    }
    return undefined;
  } finally {
    ended.resolve();
  }
}

// `send` is answered when it is stored, which may be after the heartbeat; both say that the session lives.
function isAnswer({ requestId, frame }: ServerFrame, brokenId: bigint): boolean {
  if (frame.case === "refused" || frame.case === "goodbye") return true;
  return requestId === brokenId || requestId === HEARTBEAT_ID;
}

const openRequest = create(ConnectRequestSchema, {
  frame: { requestId: 1n, frame: { case: "open", value: { positionsComplete: true } } },
});
const heartbeatRequest = create(ConnectRequestSchema, {
  frame: { requestId: HEARTBEAT_ID, frame: { case: "heartbeat", value: {} } },
});
