/** Hands client frames to a session by `Submit`: one call at a time, so that their order is kept. */
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type ClientFrame, ClientFrameSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { SubmitResponse } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { clientError, type ParleyError, toParleyError } from "../errors.ts";
import type { RoadHandlers } from "./road.ts";

/** What the contract takes in one call. */
const FRAMES_MAX = 64;
/** One call carries about one frame of the largest size: a call that is too large would be refused whole. */
const CALL_BYTES_MAX = 512 * 1024;

export type SubmitQueue = {
  /** Frames wait until the session is known. */
  setSession(sessionId: string): void;
  push(frame: ClientFrame): void;
  /** Sends nothing further. */
  close(): void;
  /** Closes, and tells the server that the session is over; does nothing while no session is known. */
  end(timeoutMs: number): Promise<void>;
};

function sessionLost(cause: ParleyError): ParleyError {
  return clientError(Code.Unavailable, "NETWORK", "The server has ended the session.", cause);
}

export function createSubmitQueue(options: {
  readonly submit: (
    sessionId: string,
    frames: ClientFrame[],
    call?: { readonly timeoutMs: number },
  ) => Promise<SubmitResponse>;
  readonly handlers: RoadHandlers;
  /** The server does not have the session any more, or does not know this device. */
  readonly onSessionLost: (error: ParleyError) => void;
}): SubmitQueue {
  const { handlers } = options;
  const waiting: { readonly frame: ClientFrame; readonly bytes: number }[] = [];
  let sessionId = "";
  let busy = false;
  let closed = false;

  const take = () => {
    const frames: ClientFrame[] = [];
    let bytes = 0;
    while (frames.length < FRAMES_MAX) {
      const next = waiting[0];
      if (!next || (frames.length > 0 && bytes + next.bytes > CALL_BYTES_MAX)) break;
      waiting.shift();
      bytes += next.bytes;
      frames.push(next.frame);
    }
    return frames;
  };
  const run = async () => {
    busy = true;
    while (!closed && sessionId !== "" && waiting.length > 0) {
      const frames = take();
      try {
        const answer = await options.submit(sessionId, frames);
        if (closed) return;
        for (const frame of answer.frames) handlers.onFrame(frame);
      } catch (caught) {
        if (closed) return;
        const error = toParleyError(caught);
        const lost = error.code === Code.NotFound || error.code === Code.Unauthenticated;
        // That there is no session says nothing against what the frames ask for: they go into the next one.
        const unanswered = lost ? sessionLost(error) : error;
        handlers.onUnanswered(
          frames.map((frame) => frame.requestId),
          unanswered,
        );
        if (lost) return options.onSessionLost(error);
      }
    }
    busy = false;
  };
  const start = () => {
    if (!busy && !closed && sessionId !== "") void run();
  };
  return {
    setSession(id) {
      sessionId = id;
      start();
    },
    push(frame) {
      waiting.push({ frame, bytes: toBinary(ClientFrameSchema, frame).length });
      start();
    },
    close() {
      closed = true;
    },
    async end(timeoutMs) {
      closed = true;
      if (sessionId === "") return;
      const frame = create(ClientFrameSchema, { frame: { case: "close", value: {} } });
      await options.submit(sessionId, [frame], { timeoutMs });
    },
  };
}
