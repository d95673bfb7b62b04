/** When sessions catch up: first with the positions that they come with, and again when something was missed. */
import type { MorePositions, Open, Position } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { EventFrame } from "../outbound/event-frame.ts";
import { type CatchUpDependencies, type CatchUpRequest, runCatchUp } from "./catch-up.ts";
import type { CatchUpResult } from "./catch-up-findings.ts";
import { CatchUpWork } from "./catch-up-work.ts";
import { OPEN_MS_MAX, SESSION_POSITIONS_MAX } from "./limits.ts";
import type { Session } from "./session.ts";

export type CatchUpsDependencies = {
  readonly catchUp: CatchUpDependencies;
  readonly log: Logger;
  /** Puts `caught_up` into the session's queue. */
  readonly announce: (session: Session, result: CatchUpResult) => void;
  /** Ends a session that could not be caught up. */
  readonly fail: (session: Session) => void;
  /** Ends a session whose client broke the protocol. */
  readonly breach: (session: Session, detail: string) => void;
};

/** Entries of a conversation that a device has nothing of, if it does not say. */
const MESSAGES_DEFAULT = 50;

/** A session that knows its positions is owed everything: nothing is left out. */
const REPEATED: CatchUpRequest = {
  claimed: new Map(),
  messageIds: new Map(),
  messagesMax: Number.POSITIVE_INFINITY,
};

/** Runs a catch-up now or later, and settles as it does. */
export type InTurn = (run: () => Promise<void>) => Promise<void>;

type Positions = {
  readonly claimed: Map<string, number>;
  readonly messageIds: Map<string, bigint>;
  readonly messagesMax: number;
};

export class CatchUps {
  readonly #dependencies: CatchUpsDependencies;
  /** Of sessions that have not told all of their positions; gone when catch-up starts. */
  readonly #positions = new WeakMap<Session, Positions>();

  constructor(dependencies: CatchUpsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Keeps the positions that a session comes with. */
  keepPositions(session: Session, open: Open): void {
    const positions = {
      claimed: new Map<string, number>(),
      messageIds: new Map<string, bigint>(),
      messagesMax: open.catchUpMessagesMax || MESSAGES_DEFAULT,
    };
    keep(open.positions, positions);
    this.#positions.set(session, positions);
  }

  /** Takes further positions; false if they had been complete. */
  addPositions(session: Session, more: MorePositions): boolean {
    const positions = this.#positions.get(session);
    if (positions === undefined) return false;
    keep(more.positions, positions);
    if (positions.claimed.size > SESSION_POSITIONS_MAX) {
      this.#dependencies.breach(session, `More than ${SESSION_POSITIONS_MAX} positions came.`);
      return true;
    }
    session.deadlineMs = this.#dependencies.catchUp.clock.monotoneMs() + OPEN_MS_MAX;
    if (more.positionsComplete) this.startFirst(session);
    return true;
  }

  /** Starts with the positions that were kept; `caught_up` follows. */
  startFirst(session: Session): void {
    const request = this.#positions.get(session);
    if (request === undefined) return;
    this.#positions.delete(session);
    this.#start(session, new CatchUpWork({ headsWanted: true }), request, true);
  }

  /**
   * Events passed the session by: what it missed is read from the inbox, when `inTurn` says, and live events
   * take their place behind it from now on.
   */
  startAgain(session: Session, inTurn?: InTurn): void {
    if (session.state === "catching-up" && session.catchUp !== undefined) {
      session.catchUp.headsWanted = true;
    } else if (session.state === "live") {
      this.#start(session, new CatchUpWork({ headsWanted: true }), REPEATED, false, inTurn);
    }
  }

  /** An entry is missing in front of a live one: both are read from the timeline, in their order. */
  repair(session: Session, event: EventFrame): void {
    const work = new CatchUpWork({ headsWanted: false });
    work.raise(event.conversationId, event.seq);
    this.#start(session, work, REPEATED, false);
  }

  #start(
    session: Session,
    work: CatchUpWork,
    request: CatchUpRequest,
    announced: boolean,
    inTurn: InTurn = (run) => run(),
  ): void {
    const { announce, catchUp, fail, log } = this.#dependencies;
    session.state = "catching-up";
    session.deadlineMs = 0;
    session.catchUp = work;
    const onCaughtUp = (result: CatchUpResult) => {
      session.catchUp = undefined;
      session.state = "live";
      if (announced) announce(session, result);
      this.#release(session, work);
    };
    inTurn(() => runCatchUp(session, work, request, catchUp, onCaughtUp)).catch(
      (error: unknown) => {
        if (session.ended) return;
        log.warn({ error }, "A session could not be caught up.");
        fail(session);
      },
    );
  }

  /** Live events of diverged conversations flow once the device was told of these. */
  #release(session: Session, done: CatchUpWork): void {
    const held = done.held();
    if (held.length === 0 || session.ended) return;
    const work = new CatchUpWork({ headsWanted: false });
    for (const [conversationId, seq] of held) work.raise(conversationId, seq);
    this.#start(session, work, REPEATED, false);
  }
}

function keep(given: readonly Position[], { claimed, messageIds }: Positions): void {
  for (const { conversationId, seq, messageId } of given) {
    // No conversation is as long as that; what a client says is not believed further.
    claimed.set(conversationId, Math.min(Number(seq), Number.MAX_SAFE_INTEGER));
    if (messageId === 0n) messageIds.delete(conversationId);
    else messageIds.set(conversationId, messageId);
  }
}
