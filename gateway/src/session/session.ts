/** One live session: who it is, how far it is, and the road it is on. */
import type { DeviceCaller } from "@parley/platform/rpc/caller";
import type { EventFrame } from "../outbound/event-frame.ts";
import type { Outlet } from "../outbound/outlet.ts";
import type { CatchUpWork } from "./catch-up-work.ts";
import { SESSION_POSITIONS_MAX } from "./limits.ts";
import type { Watch } from "./presence-watches.ts";

export type SessionState =
  /** Its positions are not complete. */
  | "opening"
  /** Missed entries are being sent; live ones only raise the target. */
  | "catching-up"
  | "live"
  /** It has its last frame. */
  | "ended";

/** What an offered event means for a session. */
export type Offer =
  | "taken"
  /** Not for it: it has the entry, or its answer, or is not ready. */
  | "passed"
  /** Something before the event is missing: catch up. */
  | "gap"
  /** It holds as much as it may. */
  | "full";

export type SessionInit = {
  readonly id: string;
  readonly caller: DeviceCaller;
  readonly outlet: Outlet;
  readonly json: boolean;
  readonly takesSubmit: boolean;
  /** When it was opened, in monotone time. */
  readonly nowMs: number;
};

export class Session {
  readonly id: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly outlet: Outlet;
  readonly json: boolean;
  /** True where client frames come by `Submit`. */
  readonly takesSubmit: boolean;
  /** When its access token expires, in ms since the Unix epoch. */
  expireTimeMs: number;
  state: SessionState = "opening";
  /** When the client was last heard, in monotone time. */
  heardMs: number;
  /** When its present state ends badly, in monotone time; 0 if it does not. */
  deadlineMs: number;
  /** The registry answered its registration. */
  registered = false;
  catchUp: CatchUpWork | undefined;
  watch: Watch | undefined;
  /** Frames whose answer is not there yet. */
  answersInFlight = 0;
  /** Frames within the present sweep interval. */
  framesHeard = 0;
  /** Frames are handled one after the other while this is set, because one of them has to ask first. */
  behind: Promise<unknown> | undefined;
  /** The next session of the same person on this gateway. */
  nextOfUser: Session | undefined;
  /** Called once, when the session ends. */
  onEnd: (() => void) | undefined;

  // The highest seq per conversation that was sent, or that the client said it has. Made when first needed:
  // most idle sessions of a large server never get an event.
  #positions: Map<string, number> | undefined;

  constructor(init: SessionInit) {
    this.id = init.id;
    this.userId = init.caller.userId;
    this.deviceId = init.caller.deviceId;
    this.expireTimeMs = init.caller.expireTimeMs;
    this.outlet = init.outlet;
    this.json = init.json;
    this.takesSubmit = init.takesSubmit;
    this.heardMs = init.nowMs;
    this.deadlineMs = 0;
  }

  get ended(): boolean {
    return this.state === "ended";
  }

  /** The session's person as the caller of RPCs made on its behalf. */
  get caller(): DeviceCaller {
    return {
      kind: "device",
      userId: this.userId,
      deviceId: this.deviceId,
      expireTimeMs: this.expireTimeMs,
    };
  }

  position(conversationId: string): number | undefined {
    return this.#positions?.get(conversationId);
  }

  /** Remembers how far the session is. Beyond the bound the conversation that was first kept is forgotten. */
  setPosition(conversationId: string, seq: number): void {
    this.#positions ??= new Map();
    const positions = this.#positions;
    positions.set(conversationId, seq);
    if (positions.size > SESSION_POSITIONS_MAX) {
      positions.delete(positions.keys().next().value as string);
    }
  }

  /** Offers a live event, in the order in which events of its conversation happened. */
  offer(event: EventFrame): Offer {
    const { seq, conversationId } = event;
    if (this.state === "opening" || this.state === "ended") return "passed";
    // Ephemeral events have no place that they could be out of.
    if (seq === 0) return this.outlet.event(event) ? "taken" : "full";
    if (this.state === "catching-up") {
      this.catchUp?.raise(conversationId, seq);
      return "passed";
    }
    const known = this.#positions?.get(conversationId);
    if (known !== undefined) {
      if (seq <= known) return "passed";
      if (seq > known + 1) return "gap";
    }
    if (event.originSessionId === this.id) {
      this.setPosition(conversationId, seq);
      return "passed";
    }
    if (!this.outlet.event(event)) return "full";
    this.setPosition(conversationId, seq);
    return "taken";
  }
}
