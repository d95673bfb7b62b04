/** One session from its opening to its end: requests and their answers, heartbeats, renewal of the token. */
import { create } from "@bufbuild/protobuf";
import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  type CaughtUp,
  type ClientFrame,
  ClientFrameSchema,
  type Goodbye,
  GoodbyeReason,
  GoodbyeSchema,
  type Open,
  type Opened,
  ReconnectAdvice,
  type ResyncRequired,
  type ServerFrame,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import { createDeferred, type Deferred } from "../async/deferred.ts";
import { clientError, fromRefused, type ParleyError } from "../errors.ts";
import type { Timing } from "../timing.ts";
import { createHeartbeat } from "./heartbeat.ts";
import { OPEN_REQUEST_ID, type Road, type RoadName, type RoadSession } from "./road.ts";

/** Requests that wait for their answer at a time; senders wait for answers, so this is never near. */
const REQUESTS_MAX = 2_000;
/** Timers take 31 bits of ms; a longer wait is cut and looked at again. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** Pause before the token's renewal is tried again. */
const RENEWAL_RETRY_MS = 5_000;

/** How a session ended. `opened` tells whether there was one. */
export type SessionEnd =
  | { readonly kind: "goodbye"; readonly goodbye: Goodbye }
  | { readonly kind: "resync"; readonly resync: ResyncRequired }
  | { readonly kind: "lost"; readonly error: ParleyError };

export type LiveSessionOptions = {
  readonly road: Road;
  readonly open: Open;
  readonly accessToken: string;
  readonly timing: Timing;
  readonly now: () => number;
  readonly tokens: {
    accessToken(refused?: string): Promise<string>;
    readonly account: { readonly accessExpireMs: number } | undefined;
  };
  /** Called before any event of the session. */
  readonly onOpened: (opened: Opened) => void;
  readonly onEvent: (bytes: Uint8Array) => void;
  readonly onCaughtUp: (caughtUp: CaughtUp) => void;
};

type Pending = {
  readonly answer: Deferred<ServerFrame["frame"]>;
  readonly timer: ReturnType<typeof setTimeout>;
};

/** A session. Created by `openLiveSession`. */
export class LiveSession {
  readonly road: RoadName;
  /** Resolves with the first frame; rejects when the session ends before it. */
  readonly opened: Promise<Opened>;
  /** Resolves when the session is over, however it ended. Never rejects. */
  readonly ended: Promise<SessionEnd>;
  readonly #options: LiveSessionOptions;
  readonly #opening = createDeferred<Opened>();
  readonly #ending = createDeferred<SessionEnd>();
  readonly #pending = new Map<bigint, Pending>();
  readonly #session: RoadSession;
  readonly #openTimer: ReturnType<typeof setTimeout>;
  #stopHeartbeat: () => void = () => {};
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #heard = () => {};
  #nextRequestId = OPEN_REQUEST_ID + 1n;
  #closing: Promise<void> = Promise.resolve();
  #isOpen = false;
  #over = false;

  constructor(options: LiveSessionOptions) {
    this.#options = options;
    this.road = options.road.name;
    this.opened = this.#opening.promise;
    this.ended = this.#ending.promise;
    this.opened.catch(() => {}); // whoever opens a session may look at `ended` only
    this.#openTimer = setTimeout(
      () =>
        this.#lose(
          clientError(Code.DeadlineExceeded, "TIMEOUT", "The session did not open in time."),
        ),
      options.timing.openTimeoutMs,
    );
    this.#session = options.road.open(options.open, options.accessToken, {
      onFrame: (frame) => this.#onFrame(frame),
      onUnanswered: (ids, error) => {
        for (const id of ids) this.#settle(id)?.answer.reject(error);
      },
      onEnd: (error, advice) => this.#onRoadEnd(error, advice),
    });
  }

  /**
   * Sends a frame that is answered, and waits for the answer.
   *
   * @throws ParleyError the refusal; or `NETWORK` or `TIMEOUT`, and the outcome is unknown.
   */
  async request(frame: ClientFrame["frame"]): Promise<ServerFrame["frame"]> {
    if (!this.#isOpen || this.#over || this.#pending.size >= REQUESTS_MAX) {
      throw clientError(Code.Unavailable, "NOT_CONNECTED", "There is no session.");
    }
    const requestId = this.#nextRequestId++;
    const answer = createDeferred<ServerFrame["frame"]>();
    const timer = setTimeout(
      () => this.#settle(requestId)?.answer.reject(timedOut()),
      this.#options.timing.requestTimeoutMs,
    );
    this.#pending.set(requestId, { answer, timer });
    this.#session.send(create(ClientFrameSchema, { requestId, frame }));
    const answered = await answer.promise;
    if (answered.case === "refused") throw fromRefused(answered.value);
    return answered;
  }

  /** Sends a frame that nobody answers. */
  notify(frame: ClientFrame["frame"]): void {
    if (this.#isOpen && !this.#over) this.#session.send(create(ClientFrameSchema, { frame }));
  }

  /** Ends the session from this side. Resolves when the server has heard of it, or soon after; never rejects. */
  close(): Promise<void> {
    if (!this.#over) {
      this.#closing = this.#session.close();
      this.#finish({ kind: "lost", error: clientError(Code.Canceled, "CLOSED", "Closed here.") });
    }
    return this.#closing;
  }

  #onFrame({ requestId, frame }: ServerFrame): void {
    if (this.#over) return;
    this.#heard();
    const pending = requestId === 0n ? undefined : this.#settle(requestId);
    switch (frame.case) {
      case "opened":
        this.#onOpened(frame.value);
        break;
      case "event":
        this.#options.onEvent(frame.value);
        break;
      case "caughtUp":
        this.#options.onCaughtUp(frame.value);
        break;
      case "resyncRequired":
        this.#session.abandon();
        this.#finish({ kind: "resync", resync: frame.value });
        break;
      case "goodbye":
        this.#session.abandon();
        this.#finish({ kind: "goodbye", goodbye: frame.value });
        break;
      case "refused":
        if (requestId === OPEN_REQUEST_ID) this.#lose(fromRefused(frame.value));
        break;
    }
    pending?.answer.resolve(frame);
  }

  #onOpened(opened: Opened): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    clearTimeout(this.#openTimer);
    const { timing, now, road } = this.#options;
    if (road.heartbeats) {
      const heartbeat = createHeartbeat({
        intervalMs: opened.heartbeatInterval ? durationMs(opened.heartbeatInterval) : 5_000,
        silenceMsMin: timing.silenceMs,
        now,
        beat: () =>
          void this.request({
            case: "heartbeat",
            value: { $typeName: "parley.realtime.v1.Heartbeat" },
          }).catch(() => {}),
        onSilence: () =>
          this.#lose(clientError(Code.Unavailable, "NETWORK", "The server fell silent.")),
      });
      this.#heard = heartbeat.heard;
      this.#stopHeartbeat = heartbeat.stop;
    }
    if (opened.accessExpireTime) {
      const aheadMs = opened.serverTime ? timestampMs(opened.serverTime) - now() : 0;
      const token = this.#options.accessToken;
      this.#planRenewal(
        token,
        timestampMs(opened.accessExpireTime) - aheadMs,
        timing.tokenMarginMs,
      );
    }
    this.#options.onOpened(opened);
    this.#opening.resolve(opened);
  }

  /** Renews `token`, which expires at `expireMs` of this clock, `marginMs` before that. */
  #planRenewal(token: string, expireMs: number, marginMs: number): void {
    const { now, tokens } = this.#options;
    const waitMs = Math.min(Math.max(0, expireMs - marginMs - now()), TIMER_MS_MAX);
    this.#renewal = setTimeout(async () => {
      if (now() < expireMs - marginMs) return this.#planRenewal(token, expireMs, marginMs);
      try {
        const accessToken = await tokens.accessToken(token);
        await this.request({
          case: "authenticate",
          value: { $typeName: "parley.realtime.v1.Authenticate", accessToken },
        });
        const nextMs = tokens.account?.accessExpireMs;
        if (!this.#over && nextMs) this.#planRenewal(accessToken, nextMs, marginMs);
      } catch {
        // The server ends the session when the token expires; until then it is worth trying.
        if (!this.#over) this.#planRenewal(token, now() + RENEWAL_RETRY_MS, 0);
      }
    }, waitMs);
  }

  #settle(requestId: bigint): Pending | undefined {
    const pending = this.#pending.get(requestId);
    if (!pending) return undefined;
    clearTimeout(pending.timer);
    this.#pending.delete(requestId);
    return pending;
  }

  #onRoadEnd(error: ParleyError | undefined, advice: ReconnectAdvice | undefined): void {
    if (advice !== undefined && advice !== ReconnectAdvice.RECONNECT) {
      const reason = GoodbyeReason.UNSPECIFIED;
      const detail = error?.message ?? "";
      const goodbye = create(GoodbyeSchema, { reason, reconnect: advice, detail });
      this.#finish({ kind: "goodbye", goodbye });
    } else {
      const lost = error ?? clientError(Code.Unavailable, "NETWORK", "The session ended.");
      this.#finish({ kind: "lost", error: lost });
    }
  }

  #lose(error: ParleyError): void {
    if (this.#over) return;
    this.#session.abandon();
    this.#finish({ kind: "lost", error });
  }

  #finish(end: SessionEnd): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#openTimer);
    clearTimeout(this.#renewal);
    this.#stopHeartbeat();
    const text = "The session ended before the answer.";
    const error = clientError(Code.Unavailable, "NETWORK", text);
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.answer.reject(error);
    this.#opening.reject(end.kind === "lost" ? end.error : error);
    this.#ending.resolve(end);
  }
}

function timedOut(): ParleyError {
  return clientError(Code.DeadlineExceeded, "TIMEOUT", "The answer did not come in time.");
}

/** Opens a session on a road. */
export function openLiveSession(options: LiveSessionOptions): LiveSession {
  return new LiveSession(options);
}
