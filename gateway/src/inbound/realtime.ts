/** What the RPCs of `RealtimeService` share. */
import type { HandlerContext } from "@connectrpc/connect";
import type { Goodbye } from "@parley/gen/parley/realtime/v1/frame_pb";
import { GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { Clock } from "@parley/platform/clock";
import { notFound } from "@parley/platform/errors";
import type { DeviceCaller } from "@parley/platform/rpc/caller";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { ContentModes } from "../outbound/json-gate.ts";
import { JsonGate } from "../outbound/json-gate.ts";
import type { Outlet, WireBytes } from "../outbound/outlet.ts";
import { createGoodbye, SessionRefusedError } from "../session/goodbye.ts";
import type { Hub } from "../session/hub.ts";
import type { Session } from "../session/session.ts";
import type { ConversationModes } from "./conversation-modes.ts";
import type { PollSessions } from "./poll-sessions.ts";
import { currentMeter } from "./request-meter.ts";

export type RealtimeDependencies = {
  readonly hub: Hub;
  readonly polls: PollSessions;
  readonly modes: ConversationModes;
  readonly clock: Clock;
  /** Bytes that may wait for one session. */
  readonly queueBytesMax: number;
};

/** The road as the session uses it: JSON sessions wait where content has to be asked for. */
export function gateFor(
  { modes, queueBytesMax }: Pick<RealtimeDependencies, "modes" | "queueBytesMax">,
  outlet: Outlet,
  json: boolean,
  caller: () => DeviceCaller | undefined,
  onOverflow: () => void,
): Outlet {
  if (!json) return outlet;
  const asked: ContentModes = {
    peek: modes.peek,
    isServerReadable(conversationId) {
      const asker = caller();
      return asker === undefined
        ? Promise.resolve(false)
        : modes.isServerReadable(conversationId, asker);
    },
  };
  return new JsonGate(outlet, asked, queueBytesMax, onOverflow);
}

/** The calling device's session of that id. */
export function ownSession(hub: Hub, sessionId: string, context: HandlerContext): Session {
  const caller = requireDevice(context);
  const session = hub.sessions.get(sessionId);
  const own = session?.deviceId === caller.deviceId && session.userId === caller.userId;
  if (session === undefined || !own || !session.takesSubmit) throw sessionNotFound();
  return session;
}

export function sessionNotFound() {
  return notFound("SESSION_NOT_FOUND", "The session has ended, or is another device's.");
}

/** The goodbye for whatever kept a session from being opened. */
export function goodbyeOf(error: unknown): Goodbye {
  if (error instanceof SessionRefusedError) return error.goodbye;
  return createGoodbye(GoodbyeReason.INTERNAL);
}

const NOTHING: WireBytes = { bytesIn: 0, bytesOut: 0 };

/** The bytes of the stream that is being handled, for as long as it lasts. */
export function streamWire(): () => WireBytes {
  const meter = currentMeter();
  return () => meter?.measure() ?? NOTHING;
}
