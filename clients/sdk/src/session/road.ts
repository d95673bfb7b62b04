/** The ways in which a session's frames travel, behind one port. */
import type {
  ClientFrame,
  Open,
  ReconnectAdvice,
  ServerFrame,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import type { ParleyError } from "../errors.ts";

/** Live sessions over a WebSocket, over a Connect stream, and over polls that wait or do not. */
export type RoadName = "websocket" | "connect" | "long-poll" | "short-poll";

/** The id of the frame that opens a session, on the roads where opening is a frame. */
export const OPEN_REQUEST_ID = 1n;

export type RoadHandlers = {
  /** A frame came, in the server's order. The first one is `opened`. */
  onFrame(frame: ServerFrame): void;
  /** These requests will not be answered; what became of them is unknown unless the error says so. */
  onUnanswered(requestIds: readonly bigint[], error: ParleyError): void;
  /** The session is over; the last call, and only one. `advice` is known from a WebSocket's close code. */
  onEnd(error: ParleyError | undefined, advice?: ReconnectAdvice): void;
};

/** One session on its road. */
export type RoadSession = {
  /** Sends a frame after those before it. Only after `opened` came. */
  send(frame: ClientFrame): void;
  /**
   * Ends the session in order, so that the server counts it as gone at once. Resolves when the server has heard
   * of it, or after `Timing.closeTimeoutMs`; never rejects. No handler is called from the call on.
   */
  close(): Promise<void>;
  /** Lets go of a session that is over or whose server does not answer; no handler is called from then on. */
  abandon(): void;
};

/**
 * A road. `open` returns at once; whether the road is passable shows in `onFrame` or `onEnd`. The access token
 * goes into `Open` or into a header, as the road needs it.
 */
export type Road = {
  readonly name: RoadName;
  /** False where asking for frames is itself a sign of life. */
  readonly heartbeats: boolean;
  open(open: Open, accessToken: string, handlers: RoadHandlers): RoadSession;
};
