/** Every session of this gateway from `open` to goodbye, whatever its road. */

import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { Code } from "@connectrpc/connect";
import {
  type ClientFrame,
  type Goodbye,
  GoodbyeReason,
  type Open,
  OpenSchema,
  type ServerFrame,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import type { Clock } from "@parley/platform/clock";
import { fromUnknown } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import type { DeviceCaller } from "@parley/platform/rpc/caller";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { EventFrame } from "../outbound/event-frame.ts";
import type { Outlet } from "../outbound/outlet.ts";
import type { CatchUpDependencies } from "./catch-up.ts";
import { CatchUps } from "./catch-ups.ts";
import type { Answer, FrameHandler } from "./frame-handler.ts";
import {
  createGoodbye,
  type GoodbyeOptions,
  goodbyeFrame,
  SessionRefusedError,
} from "./goodbye.ts";
import { CLOSING_MS_MAX, OPEN_MS_MAX, SESSIONS_PER_DEVICE_MAX } from "./limits.ts";
import type { PresenceWatches } from "./presence-watches.ts";
import type { Registration } from "./registration.ts";
import { caughtUpFrame, openedFrame, resyncFrame } from "./server-frames.ts";
import { Session } from "./session.ts";
import { SessionTable } from "./session-table.ts";

export type HubDependencies = {
  readonly registration: Registration;
  readonly catchUp: CatchUpDependencies;
  readonly clock: Clock;
  readonly log: Logger;
  /** Verifies a token and that its device is signed in. */
  readonly verify: (accessToken: string) => Promise<DeviceCaller>;
  /** Whether a device is signed out by now; asked anew each time. */
  readonly isRevokedNow: (deviceId: string) => Promise<boolean>;
  /** Frames of one session per second; above it the session ends. */
  readonly framesPerSecondMax: number;
  readonly sessionsMax: number;
  /** Told of each session that ended, with the goodbye that ended it, if one did. */
  readonly onEnded: (session: Session, goodbye: Goodbye | undefined) => void;
};

export type OpenRequest = {
  readonly open: Open;
  readonly requestId: bigint;
  /** The caller of the RPC, where there is one; the frame's own token wins. */
  readonly caller?: DeviceCaller | undefined;
  readonly json: boolean;
  /** True where client frames come by `Submit`. */
  readonly takesSubmit: boolean;
  readonly outletOf: (onOverflow: () => void) => Outlet;
};

export class Hub {
  readonly sessions = new SessionTable();
  readonly catchUps: CatchUps;
  readonly #dependencies: HubDependencies;
  readonly #closing = new Set<Session>();
  #handleFrame: FrameHandler | undefined;
  #watches: Pick<PresenceWatches, "drop"> | undefined;
  draining = false;

  constructor(dependencies: HubDependencies) {
    const { catchUp, log } = dependencies;
    this.#dependencies = dependencies;
    this.catchUps = new CatchUps({
      catchUp,
      log,
      announce: (session, result) => this.answer(session, caughtUpFrame(result)),
      fail: (session) => this.end(session, GoodbyeReason.INTERNAL),
      breach: (session, detail) => this.breach(session, detail),
    });
  }

  /** Binds what needs the hub itself. */
  bind(parts: { handleFrame: FrameHandler; watches: Pick<PresenceWatches, "drop"> }): void {
    this.#handleFrame = parts.handleFrame;
    this.#watches = parts.watches;
  }

  /** Sessions that have their last frame and whose road is not closed yet. */
  get closing(): ReadonlySet<Session> {
    return this.#closing;
  }

  /**
   * Opens a session: it is registered before its inbox is read, so that nothing falls between, and before its
   * device is asked about for the last time: who signs the device out later finds the session. Rejects with a
   * `SessionRefusedError` that holds the goodbye for the road.
   */
  async open(request: OpenRequest): Promise<Session> {
    const { clock, sessionsMax } = this.#dependencies;
    assertReadable(request.open);
    const caller = await this.#callerOf(request);
    if (this.draining) throw refuse(GoodbyeReason.SERVER_DRAINING);
    if (this.sessions.size >= sessionsMax) {
      throw refuse(GoodbyeReason.RATE_LIMITED, { detail: "The server holds all sessions it can." });
    }
    const nowMs = clock.monotoneMs();
    let session: Session | undefined;
    const outlet = request.outletOf(() => session !== undefined && this.slow(session));
    const { json, takesSubmit } = request;
    session = new Session({ id: newUuid(clock.nowMs()), caller, outlet, json, takesSubmit, nowMs });
    session.deadlineMs = nowMs + OPEN_MS_MAX;
    this.#makeRoom(session);
    this.sessions.add(session);
    this.catchUps.keepPositions(session, request.open);
    await this.#join(session);
    if (session.ended) return session;
    outlet.frame(openedFrame(request.requestId, session, clock.nowMs()));
    if (request.open.positionsComplete) this.catchUps.startFirst(session);
    return session;
  }

  /** Carries a frame out. The road passes the answer on. */
  handle(session: Session, frame: ClientFrame): Answer {
    if (session.ended) return undefined;
    this.heard(session);
    if (session.ended) return undefined;
    return this.#handleFrame?.(session, frame);
  }

  /** A sign of life. */
  heard(session: Session): void {
    session.heardMs = this.#dependencies.clock.monotoneMs();
    session.framesHeard++;
    if (session.framesHeard > this.#dependencies.framesPerSecondMax) {
      this.end(session, GoodbyeReason.RATE_LIMITED);
    }
  }

  /** Puts an answer into the session's queue. */
  answer(session: Session, answer: Answer): void {
    if (answer === undefined) return;
    if (answer instanceof Promise) {
      void answer.then((frame) => this.answer(session, frame));
      return;
    }
    if (!session.ended && !session.outlet.frame(answer)) this.slow(session);
  }

  /** Offers a live event to a session. */
  deliver(session: Session, event: EventFrame): void {
    switch (session.offer(event)) {
      case "full":
        this.slow(session);
        return;
      case "gap":
        this.catchUps.repair(session, event);
        return;
    }
  }

  breach(session: Session, detail: string): void {
    this.end(session, GoodbyeReason.PROTOCOL_ERROR, { detail });
  }

  /** The client does not read: what waits is given up, and it resumes later. */
  slow(session: Session): void {
    if (session.ended) return;
    const resync = resyncFrame(session.outlet.waitingFrames);
    session.outlet.dropEvents();
    this.end(session, GoodbyeReason.SLOW_CONSUMER, {}, [resync]);
  }

  /** Ends a session with a goodbye. Nothing is delivered to it any more. */
  end(
    session: Session,
    reason: GoodbyeReason,
    options: GoodbyeOptions = {},
    before: readonly ServerFrame[] = [],
  ): void {
    if (session.ended) return;
    const goodbye = createGoodbye(reason, options);
    this.#conclude(session, [...before, goodbyeFrame(goodbye)], goodbye);
  }

  /**
   * Ends a session that its client needs no longer: what waits and the answer are its last frames. Returns the
   * answer where it takes another road.
   */
  finish(session: Session, answer: ServerFrame): ServerFrame | undefined {
    if (session.ended) return undefined;
    this.#conclude(session, session.takesSubmit ? [] : [answer]);
    return session.takesSubmit ? answer : undefined;
  }

  /** The road is closed: by the client, by the network, or after a goodbye. */
  closed(session: Session): void {
    this.#closing.delete(session);
    if (session.ended) return;
    this.#remove(session);
    this.#dependencies.onEnded(session, undefined);
  }

  /** Ends the sessions of a person's devices (all if empty); returns how many. */
  endDevices(userId: string, deviceIds: readonly string[]): number {
    const wanted = new Set(deviceIds);
    let count = 0;
    let session = this.sessions.firstOf(userId);
    while (session !== undefined) {
      const next = session.nextOfUser;
      if (wanted.size === 0 || wanted.has(session.deviceId)) {
        this.end(session, GoodbyeReason.DEVICE_REVOKED);
        count++;
      }
      session = next;
    }
    return count;
  }

  async #callerOf({ open, caller }: OpenRequest): Promise<DeviceCaller> {
    if (open.accessToken === "" && caller !== undefined) return caller;
    try {
      return await this.#dependencies.verify(open.accessToken);
    } catch (error) {
      const refused = fromUnknown(error);
      if (refused.code === Code.Unauthenticated) {
        throw refuse(GoodbyeReason.UNAUTHENTICATED, { detail: refused.rawMessage }, error);
      }
      throw refuse(GoodbyeReason.INTERNAL, {}, error);
    }
  }

  async #join(session: Session): Promise<void> {
    const { registration, isRevokedNow } = this.#dependencies;
    let revoked: boolean;
    try {
      await registration.join(session);
      revoked = await isRevokedNow(session.deviceId);
    } catch (error) {
      this.#remove(session);
      throw refuse(GoodbyeReason.INTERNAL, {}, error);
    }
    if (!revoked || session.ended) return;
    this.#remove(session);
    throw refuse(GoodbyeReason.DEVICE_REVOKED);
  }

  /** Ends the device's oldest sessions until one more is allowed. */
  #makeRoom(session: Session): void {
    const others = this.sessions.ofDevice(session.userId, session.deviceId);
    const surplus = others.length - SESSIONS_PER_DEVICE_MAX + 1;
    for (const oldest of others.slice(0, Math.max(0, surplus))) {
      this.end(oldest, GoodbyeReason.SESSION_LIMIT);
    }
  }

  #conclude(session: Session, lastFrames: readonly ServerFrame[], goodbye?: Goodbye): void {
    const { clock, onEnded } = this.#dependencies;
    this.#remove(session);
    session.deadlineMs = clock.monotoneMs() + CLOSING_MS_MAX;
    this.#closing.add(session);
    session.outlet.end(lastFrames, goodbye);
    onEnded(session, goodbye);
  }

  #remove(session: Session): void {
    session.state = "ended";
    session.catchUp = undefined;
    this.#watches?.drop(session);
    if (this.sessions.remove(session)) this.#dependencies.registration.leave(session);
    // Whoever waits for this session finds out that it has ended.
    const { onWritable } = session.outlet;
    session.outlet.onWritable = undefined;
    onWritable?.();
    session.onEnd?.();
    session.onEnd = undefined;
  }
}

function refuse(
  reason: GoodbyeReason,
  options: GoodbyeOptions = {},
  cause?: unknown,
): SessionRefusedError {
  return new SessionRefusedError(createGoodbye(reason, options), cause);
}

const validator = createValidator();

function assertReadable(open: Open): void {
  const result = validator.validate(OpenSchema, open);
  if (result.kind !== "invalid") return;
  const [violation] = result.violations;
  const field = violation === undefined ? "" : pathToString(violation.field);
  throw refuse(GoodbyeReason.PROTOCOL_ERROR, { detail: `open.${field}: ${violation?.message}` });
}
