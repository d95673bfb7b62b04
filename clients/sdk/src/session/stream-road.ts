/** The road for browsers whose network lets no WebSocket through: `Subscribe` with `Submit`. */
import type { Client } from "@connectrpc/connect";
import type { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { withinMs } from "../async/sleep.ts";
import { type ParleyError, toParleyError } from "../errors.ts";
import type { Timing } from "../timing.ts";
import type { Road } from "./road.ts";
import { createSubmitQueue } from "./submit-queue.ts";

/** Creates the road. The client's transport carries the access token. */
export function createStreamRoad(
  realtime: Client<typeof RealtimeService>,
  timing: Pick<Timing, "closeTimeoutMs">,
): Road {
  return {
    name: "connect",
    heartbeats: true,
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
        submit: (sessionId, frames, call) => realtime.submit({ sessionId, frames }, call),
        handlers,
        onSessionLost: end,
      });
      const read = async () => {
        // The stream lasts as long as the session: no deadline.
        const answers = realtime.subscribe({ open }, { signal: controller.signal, timeoutMs: 0 });
        for await (const { frame } of answers) {
          if (over) return;
          if (!frame) continue;
          if (frame.frame.case === "opened") submits.setSession(frame.frame.value.sessionId);
          handlers.onFrame(frame);
        }
      };
      read().then(
        () => end(undefined),
        (error) => end(toParleyError(error)),
      );
      const abandon = () => {
        over = true;
        submits.close();
        controller.abort();
      };
      return {
        send: (frame) => submits.push(frame),
        async close() {
          over = true;
          // A proxy may hold the stream's end back; the frame gets through.
          await withinMs(timing.closeTimeoutMs, submits.end(timing.closeTimeoutMs));
          abandon();
        },
        abandon,
      };
    },
  };
}
