/** What a session needs of the road it is on. One implementation per kind of road. */
import type { Goodbye, ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { EventFrame } from "./event-frame.ts";

/** Frames that may wait for one session: some seconds of a busy group; more means that it does not read. */
export const SESSION_QUEUE_FRAMES_MAX = 4096;

/** Catch-up pauses while this much waits, which keeps a session's own bound free for live events. */
export const CATCH_UP_WAITING_BYTES_MAX = 256 * 1024;

/** Bytes of a session on the wire, HTTP and WebSocket overhead included. */
export type WireBytes = { readonly bytesIn: number; readonly bytesOut: number };

export type Outlet = {
  /** Queues an event. False, without having queued it, when the session holds as much as it may. */
  event(event: EventFrame): boolean;
  /** Queues an answer. False, without having queued it, when the session holds as much as it may. */
  frame(frame: ServerFrame): boolean;
  /** Asks the other end for a sign of life, on roads that have a way to. */
  ping(): void;
  /** Frames that were queued and not yet taken by the transport. */
  readonly waitingFrames: number;
  /** True while catch-up may go on. */
  readonly writable: boolean;
  /** Called once when `writable` becomes true again. */
  onWritable: (() => void) | undefined;
  /** Drops the events that wait; answers stay. */
  dropEvents(): void;
  /**
   * Puts the last frames behind what waits, whatever the bounds, and ends the road after them. Without a goodbye
   * it was the client who wanted the end.
   */
  end(lastFrames: readonly ServerFrame[], goodbye: Goodbye | undefined): void;
  /** Gives the road up now, whatever waits. */
  destroy(): void;
  wire(): WireBytes;
};
