/** The road that is passable wherever HTTP is: `Poll` with `Submit`, waiting on the server or not. */
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code } from "@connectrpc/connect";
import type { Open } from "@parley/gen/parley/realtime/v1/frame_pb";
import type {
  PollResponse,
  RealtimeService,
} from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { sleep } from "../async/sleep.ts";
import { isTransient, type ParleyError, toParleyError } from "../errors.ts";
import type { Timing } from "../timing.ts";
import type { Road, RoadHandlers } from "./road.ts";
import { createSubmitQueue } from "./submit-queue.ts";

/** How much longer than its wait a poll may take before it counts as lost. */
const POLL_GRACE_MS = 10_000;
/** Pause between repetitions of a failed poll: the session lives on, so asking again soon is worth it. */
const POLL_RETRY_MS = 500;
/** What the contract returns in one answer. */
const FRAMES_MAX = 500;

export type PollRoadOptions = {
  readonly name: "long-poll" | "short-poll";
  readonly realtime: Client<typeof RealtimeService>;
  readonly timing: Pick<Timing, "longPollWaitMs" | "shortPollIntervalMs" | "pollFailureMs">;
  readonly now: () => number;
};

/** Creates the road. The client's transport carries the access token. */
export function createPollRoad(options: PollRoadOptions): Road {
  return {
    name: options.name,
    heartbeats: false,
    open(open, _accessToken, handlers) {
      const controller = new AbortController();
      let over = false;
      const end = (error: ParleyError | undefined) => {
        if (over) return;
        over = true;
        submits.close();
        controller.abort();
        handlers.onEnd(error);
      };
      const submits = createSubmitQueue({
        submit: (sessionId, frames) => options.realtime.submit({ sessionId, frames }),
        handlers,
        onSessionLost: end,
      });
      const onSession = (sessionId: string) => submits.setSession(sessionId);
      poll(options, open, handlers, onSession, controller.signal).then(
        () => end(undefined),
        (error) => end(toParleyError(error)),
      );
      return {
        send: (frame) => submits.push(frame),
        close() {
          over = true;
          submits.close();
          controller.abort();
        },
      };
    },
  };
}

/** Polls until the server says goodbye or the signal aborts. */
async function poll(
  options: PollRoadOptions,
  open: Open,
  handlers: RoadHandlers,
  onSession: (sessionId: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const waitMs = options.name === "long-poll" ? options.timing.longPollWaitMs : 0;
  const wait = durationFromMs(waitMs);
  let answer = await options.realtime.poll({ open, wait }, { signal });
  const { sessionId } = answer;
  onSession(sessionId);
  let acknowledgedCursor = 0n;
  while (!signal.aborted) {
    for (const frame of answer.frames) {
      handlers.onFrame(frame);
      if (frame.frame.case === "goodbye") return;
    }
    acknowledgedCursor = answer.cursor;
    const full = answer.frames.length >= FRAMES_MAX;
    if (waitMs === 0 && !full) await sleep(options.timing.shortPollIntervalMs, signal);
    const request = {
      sessionId,
      acknowledgedCursor,
      wait,
      framesMax: FRAMES_MAX,
    };
    answer = await repeat(options, signal, () =>
      options.realtime.poll(request, { signal, timeoutMs: waitMs + POLL_GRACE_MS }),
    );
  }
}

/** Repeats a poll whose answer was lost: what it carried comes again, because it was not acknowledged. */
async function repeat(
  options: PollRoadOptions,
  signal: AbortSignal,
  call: () => Promise<PollResponse>,
): Promise<PollResponse> {
  const deadlineMs = options.now() + options.timing.pollFailureMs;
  for (;;) {
    try {
      return await call();
    } catch (caught) {
      const error = toParleyError(caught);
      if (signal.aborted || error.code === Code.Canceled) throw error;
      if (!isTransient(error) || options.now() >= deadlineMs) throw error;
      await sleep(error.retryAfterMs ?? POLL_RETRY_MS, signal);
    }
  }
}
