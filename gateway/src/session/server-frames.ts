/** The frames that a server answers with. */
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  CaughtUpSchema,
  OpenedSchema,
  RefusedSchema,
  ResyncRequiredSchema,
  type ServerFrame,
  ServerFrameSchema,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import { errorInfoOf, fromUnknown, retryAfterMsOf } from "@parley/platform/errors";
import type { CatchUpResult } from "./catch-up-findings.ts";
import { HEARTBEAT_INTERVAL_MS } from "./limits.ts";
import type { Session } from "./session.ts";

export type FrameValue = ServerFrame["frame"];

/** The answer to the request of that id. */
export function answerFrame(requestId: bigint, frame: FrameValue): ServerFrame {
  return create(ServerFrameSchema, { requestId, frame });
}

export function doneFrame(requestId: bigint): ServerFrame {
  return create(ServerFrameSchema, { requestId, frame: { case: "done", value: {} } });
}

export function heartbeatFrame(requestId: bigint): ServerFrame {
  return create(ServerFrameSchema, { requestId, frame: { case: "heartbeat", value: {} } });
}

export function openedFrame(requestId: bigint, session: Session, nowMs: number): ServerFrame {
  const opened = create(OpenedSchema, {
    sessionId: session.id,
    userId: session.userId,
    deviceId: session.deviceId,
    heartbeatInterval: durationFromMs(HEARTBEAT_INTERVAL_MS),
    accessExpireTime: timestampFromMs(session.expireTimeMs),
    serverTime: timestampFromMs(nowMs),
  });
  return answerFrame(requestId, { case: "opened", value: opened });
}

export function caughtUpFrame(result: CatchUpResult): ServerFrame {
  return answerFrame(0n, { case: "caughtUp", value: create(CaughtUpSchema, result) });
}

export function resyncFrame(waitingFrames: number): ServerFrame {
  const resync = create(ResyncRequiredSchema, { waitingFrames });
  return answerFrame(0n, { case: "resyncRequired", value: resync });
}

/** A refusal as a frame, with everything that an RPC would tell in its details. */
export function refusedFrame(requestId: bigint, error: unknown): ServerFrame {
  const refused = fromUnknown(error);
  const info = errorInfoOf(refused);
  const retryAfterMs = retryAfterMsOf(refused);
  const value = create(RefusedSchema, {
    code: refused.code,
    reason: info?.reason ?? "",
    description: refused.rawMessage,
    field: info?.metadata.field ?? "",
    metadata: { ...info?.metadata },
    ...(retryAfterMs === undefined ? {} : { retryDelay: durationFromMs(Math.ceil(retryAfterMs)) }),
  });
  return answerFrame(requestId, { case: "refused", value });
}
