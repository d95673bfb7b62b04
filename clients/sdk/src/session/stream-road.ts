/** The road for browsers whose network lets no WebSocket through: `Subscribe` with `Submit`. */
import type { Client } from "@connectrpc/connect";
import type { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { type ParleyError, toParleyError } from "../errors.ts";
import type { Road } from "./road.ts";
import { createSubmitQueue } from "./submit-queue.ts";

/** Creates the road. The client's transport carries the access token. */
export function createStreamRoad(realtime: Client<typeof RealtimeService>): Road {
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
        submit: (sessionId, frames) => realtime.submit({ sessionId, frames }),
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
