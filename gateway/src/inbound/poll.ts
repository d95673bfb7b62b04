/** `RealtimeService.Poll`: a session whose frames are fetched. */
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import type { ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { PollRequest } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import { PollOutlet } from "../outbound/poll-outlet.ts";
import { goodbyeFrame, SessionRefusedError } from "../session/goodbye.ts";
import { type PolledSession, WireCounter } from "./poll-sessions.ts";
import { gateFor, type RealtimeDependencies, sessionNotFound } from "./realtime.ts";
import { isJson } from "./road.ts";

type PollAnswer = { sessionId: string; frames: ServerFrame[]; cursor: bigint };

const FRAMES_DEFAULT = 100;
const FRAMES_MAX = 500;
const ANSWER_BYTES_MAX = 1024 * 1024;
/** What is left of the caller's own deadline for the answer's way back. */
const ANSWER_MS = 250;

export function createPoll(dependencies: RealtimeDependencies) {
  return async (request: PollRequest, context: HandlerContext): Promise<PollAnswer> => {
    if ((request.sessionId === "") === (request.open === undefined)) {
      throw invalidArgument("session_id", "Either `session_id` or `open` is needed.");
    }
    if (request.sessionId !== "")
      return answer(find(request, context, dependencies), request, context);
    try {
      return await answer(await open(request, context, dependencies), request, context);
    } catch (error) {
      if (!(error instanceof SessionRefusedError)) throw error;
      return { sessionId: "", frames: [goodbyeFrame(error.goodbye)], cursor: 1n };
    }
  };
}

async function open(
  request: PollRequest,
  context: HandlerContext,
  dependencies: RealtimeDependencies,
): Promise<PolledSession> {
  const { hub, polls, queueBytesMax } = dependencies;
  const { open } = request;
  if (open === undefined) throw invalidArgument("open", "A session is opened with `open`.");
  const json = isJson(context);
  const caller = requireDevice(context);
  const wire = new WireCounter();
  const outlet = new PollOutlet({ queueBytesMax, wire: () => wire.total() });
  const session = await hub.open({
    open,
    requestId: 0n,
    caller,
    json,
    takesSubmit: true,
    outletOf: (onOverflow) => gateFor(dependencies, outlet, json, () => caller, onOverflow),
  });
  outlet.onAlive = () => hub.heard(session);
  outlet.onDestroyed = () => {
    polls.remove(session.id);
    hub.closed(session);
  };
  const polled = { session, outlet, wire };
  polls.add(polled);
  return polled;
}

function find(
  { sessionId }: PollRequest,
  context: HandlerContext,
  { hub, polls }: RealtimeDependencies,
): PolledSession {
  const caller = requireDevice(context);
  const polled = polls.get(sessionId);
  if (polled === undefined || polled.session.deviceId !== caller.deviceId) throw sessionNotFound();
  if (!polled.session.ended) hub.heard(polled.session);
  return polled;
}

async function answer(
  { session, outlet, wire }: PolledSession,
  request: PollRequest,
  context: HandlerContext,
): Promise<PollAnswer> {
  wire.countRequest();
  const { frames, cursor } = await outlet.poll({
    acknowledgedCursor: Number(request.acknowledgedCursor),
    framesMax: Math.min(request.framesMax || FRAMES_DEFAULT, FRAMES_MAX),
    bytesMax: ANSWER_BYTES_MAX,
    waitMs: waitMsOf(request, context),
    json: isJson(context),
    signal: context.signal,
  });
  if (outlet.finished) {
    outlet.destroy();
    throw sessionNotFound();
  }
  return { sessionId: session.id, frames, cursor: BigInt(cursor) };
}

function waitMsOf({ wait }: PollRequest, context: HandlerContext): number {
  const wantedMs = wait === undefined ? 0 : durationMs(wait);
  const leftMs = context.timeoutMs();
  return Math.max(0, Math.min(wantedMs, leftMs === undefined ? wantedMs : leftMs - ANSWER_MS));
}
