/** `RealtimeService.Submit`: client frames for a session whose road only leads to the client. */
import type { HandlerContext } from "@connectrpc/connect";
import type { ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { SubmitRequest } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { ownSession, type RealtimeDependencies } from "./realtime.ts";

export function createSubmit({ hub, polls }: Pick<RealtimeDependencies, "hub" | "polls">) {
  return async (request: SubmitRequest, context: HandlerContext) => {
    const session = ownSession(hub, request.sessionId, context);
    polls.get(session.id)?.wire.countRequest();
    // Begun in their order, each before the next; the answers are awaited together.
    const answers = request.frames.map((frame) => hub.handle(session, frame));
    const frames = await Promise.all(answers);
    return { frames: frames.filter((frame): frame is ServerFrame => frame !== undefined) };
  };
}
