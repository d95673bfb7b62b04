/** The road that is passable wherever HTTP is: `Poll` with `Submit`, waiting on the server or not. */
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code } from "@connectrpc/connect";
import type { Open, ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import type {
  PollResponse,
  RealtimeService,
} from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { createDeferred } from "../async/deferred.ts";
import { sleep, withinMs } from "../async/sleep.ts";
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
  readonly timing: Pick<
    Timing,
    "longPollWaitMs" | "shortPollIntervalMs" | "pollFailureMs" | "closeTimeoutMs"
  >;
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
        submit: (sessionId, frames, call) => options.realtime.submit({ sessionId, frames }, call),
        handlers,
        onSessionLost: end,
      });
      // Settles when it is known whether there is a session.
      const opened = createDeferred<void>();
      const onSession = (sessionId: string) => {
        submits.setSession(sessionId);
        opened.resolve();
      };
      const onFrame = (frame: ServerFrame) => {
        if (!over) handlers.onFrame(frame);
      };
      poll(options, open, onFrame, onSession, controller.signal)
        .then(
          () => end(undefined),
          (error) => end(toParleyError(error)),
        )
        .finally(opened.resolve);
      const abandon = () => {
        over = true;
        submits.close();
        controller.abort();
      };
      const tell = async () => {
        // A session that is just being opened can only be ended when its id is known.
        await opened.promise;
        controller.abort();
        await submits.end(options.timing.closeTimeoutMs);
      };
      return {
        send: (frame) => submits.push(frame),
        async close() {
          over = true;
          submits.close();
          await withinMs(options.timing.closeTimeoutMs, tell());
          abandon();
        },
        abandon,
      };
    },
  };
}

/** Polls until the server says goodbye or the signal aborts. */
async function poll(
  options: PollRoadOptions,
  open: Open,
  onFrame: RoadHandlers["onFrame"],
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
      onFrame(frame);
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
