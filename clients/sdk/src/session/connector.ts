/** Keeps a session open: chooses roads, reconnects as advised, and comes back to better roads. */
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  type CaughtUp,
  type Opened,
  ReconnectAdvice,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import { createBackoff } from "../async/backoff.ts";
import { sleep } from "../async/sleep.ts";
import { type ParleyError, toParleyError } from "../errors.ts";
import type { Timing } from "../timing.ts";
import { goodbyeError, isFinal } from "./goodbye.ts";
import { type LiveSession, openLiveSession, type SessionEnd } from "./live-session.ts";
import { createOpen, type KnownPosition, sendMorePositions } from "./positions.ts";
import type { Road, RoadName } from "./road.ts";
import type { RoadChooser } from "./road-chooser.ts";
import { probeBetterRoads } from "./road-probe.ts";

/** Jitter added to the delay that a goodbye asks for, as a share of it, and its least bound in ms. */
const GOODBYE_JITTER_SHARE = 0.5;
const GOODBYE_JITTER_MS_MIN = 250;

export type ConnectionState =
  | { readonly state: "connecting"; readonly road: RoadName }
  | { readonly state: "online"; readonly road: RoadName; readonly sessionId: string }
  | {
      readonly state: "offline";
      /** Why; undefined after `disconnect()`. */
      readonly error: ParleyError | undefined;
      /** When the next attempt follows, in ms from now; undefined if none does. */
      readonly retryAfterMs: number | undefined;
    };

export type ConnectorDependencies = {
  readonly roads: ReadonlyMap<RoadName, Road>;
  readonly chooser: RoadChooser;
  readonly tokens: {
    accessToken(refused?: string): Promise<string>;
    readonly account: { readonly accessExpireMs: number } | undefined;
  };
  readonly timing: Timing;
  readonly now: () => number;
  readonly random: () => number;
  readonly catchUpMessagesMax: number;
  readonly positions: () => readonly KnownPosition[];
  readonly onState: (state: ConnectionState) => void;
  /** A session opened; what comes next is what was missed. */
  readonly onOpened: (opened: Opened) => void;
  readonly onEvent: (bytes: Uint8Array) => void;
  readonly onCaughtUp: (caughtUp: CaughtUp) => void;
  readonly onResync: (waitingFrames: number) => void;
  /** A road led to a session, to be remembered. */
  readonly onRoad: (road: RoadName) => void;
};

/** Keeps a session open between `connect` and `disconnect`. */
export class Connector {
  readonly #dependencies: ConnectorDependencies;
  readonly #backoff;
  #running: { readonly controller: AbortController; readonly done: Promise<void> } | undefined;
  #session: LiveSession | undefined;
  /** The token of the last opening, to be replaced if it is refused. */
  #usedToken: string | undefined;
  /** Interrupts the pause before the next attempt. */
  #pause: AbortController | undefined;
  /** Sessions whose server is being told of their end. */
  readonly #closing = new Set<Promise<void>>();

  constructor(dependencies: ConnectorDependencies) {
    this.#dependencies = dependencies;
    const { timing, random } = dependencies;
    this.#backoff = createBackoff({
      initialMs: timing.reconnectInitialMs,
      maxMs: timing.reconnectMaxMs,
      random,
    });
  }

  /** The open session, if there is one. */
  get session(): LiveSession | undefined {
    return this.#session;
  }

  /** True between `connect` and `disconnect`, unless the server said not to come back. */
  get running(): boolean {
    return this.#running !== undefined;
  }

  /** Starts; does nothing if it runs. */
  connect(): void {
    if (this.#running) return;
    const controller = new AbortController();
    this.#backoff.reset();
    const done = this.#run(controller.signal).then(
      () => this.#onStopped(controller, undefined),
      (error: unknown) => this.#onStopped(controller, toParleyError(error)),
    );
    this.#running = { controller, done };
  }

  /** Ends the session and stops. Resolves when the server has heard of it, or soon after. */
  async disconnect(): Promise<void> {
    const running = this.#running;
    running?.controller.abort();
    await running?.done;
    await Promise.all(this.#closing);
  }

  /** Ends the present pause: the network is back, or somebody presses "retry". */
  wake(): void {
    this.#pause?.abort();
  }

  /** Drops the present session, to open another with the present positions. */
  restart(): void {
    if (this.#session) this.#close(this.#session);
  }

  #close(session: LiveSession): void {
    const closing = session.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  #onStopped(controller: AbortController, error: ParleyError | undefined): void {
    if (this.#running?.controller !== controller) return;
    this.#running = undefined;
    const asked = controller.signal.aborted;
    const state = { state: "offline", retryAfterMs: undefined } as const;
    this.#dependencies.onState({ ...state, error: asked ? undefined : error });
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { chooser } = this.#dependencies;
    let next: LiveSession | undefined;
    while (!signal.aborted) {
      const name = next?.road ?? chooser.next();
      try {
        const session = next ?? (await this.#open(name, signal));
        next = await this.#live(session, signal);
      } catch (caught) {
        next = undefined;
        if (signal.aborted) return;
        const error = toParleyError(caught);
        // Nothing but signing in again helps against these.
        if (isFinal(error)) throw error;
        if (error.code === Code.Unauthenticated) {
          await this.#renew();
          await this.#pauseFor(this.#backoff.next(), error, signal);
        } else if (chooser.failed(name)) {
          await this.#pauseFor(this.#backoff.next(), error, signal);
        }
      }
    }
  }

  /** Opens a session on a road; rejects if it does not open. */
  async #open(name: RoadName, signal: AbortSignal): Promise<LiveSession> {
    this.#dependencies.onState({ state: "connecting", road: name });
    const accessToken = await this.#dependencies.tokens.accessToken();
    signal.throwIfAborted();
    this.#usedToken = accessToken;
    const session = this.#openOn(name, accessToken);
    const onAbort = () => this.#close(session);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await session.opened;
      return session;
    } catch (error) {
      this.#session = undefined;
      const end = await session.ended;
      if (end.kind === "goodbye") throw goodbyeError(end.goodbye);
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #openOn(name: RoadName, accessToken: string): LiveSession {
    const { roads, positions, catchUpMessagesMax, timing, now, tokens } = this.#dependencies;
    const road = roads.get(name);
    if (!road) throw new RangeError(`There is no road ${name}.`);
    const all = positions();
    const open = createOpen(all, catchUpMessagesMax);
    const { onEvent, onCaughtUp } = this.#dependencies;
    // Before any event of the session: whoever hears of one finds the client online.
    const onOpened = (opened: Opened) => {
      this.#session = session;
      this.#dependencies.onOpened(opened);
      this.#dependencies.onState({ state: "online", road: name, sessionId: opened.sessionId });
    };
    const handlers = { onOpened, onEvent, onCaughtUp };
    const session = openLiveSession({ road, open, accessToken, timing, now, tokens, ...handlers });
    session.opened.then(
      () => sendMorePositions(session, all).catch(() => this.#close(session)),
      () => {},
    );
    return session;
  }

  /**
   * Lives in a session until it ends, and waits as long as its end asks for. Returns a session that opened
   * on a better road meanwhile, if there is one.
   */
  async #live(session: LiveSession, signal: AbortSignal): Promise<LiveSession | undefined> {
    const { chooser, timing, now } = this.#dependencies;
    chooser.opened(session.road);
    this.#dependencies.onRoad(session.road);
    const openedMs = now();
    const onAbort = () => this.#close(session);
    signal.addEventListener("abort", onAbort, { once: true });
    const probe = probeBetterRoads({
      roads: chooser.better(session.road),
      intervalMs: timing.betterRoadMs,
      open: async (name) => this.#openOn(name, await this.#dependencies.tokens.accessToken()),
      close: (probed) => this.#close(probed),
    });
    const end = await Promise.race([session.ended, probe.found]);
    this.#session = "kind" in end ? undefined : end;
    signal.removeEventListener("abort", onAbort);
    if (!("kind" in end)) {
      probe.stop(end);
      this.#close(session);
      return end;
    }
    probe.stop();
    signal.throwIfAborted();
    const healthy = now() - openedMs >= timing.healthyAfterMs;
    if (healthy) this.#backoff.reset();
    if (healthy) chooser.lasted();
    else if (end.kind === "lost" && end.error.reason !== "CLOSED") chooser.broke(session.road);
    await this.#afterEnd(end, signal);
    return undefined;
  }

  async #afterEnd(end: SessionEnd, signal: AbortSignal): Promise<void> {
    switch (end.kind) {
      case "resync":
        this.#dependencies.onResync(end.resync.waitingFrames);
        return this.#pauseFor(this.#backoff.next(), undefined, signal);
      case "lost":
        return this.#pauseFor(this.#backoff.next(), end.error, signal);
      case "goodbye": {
        const { reconnect, reconnectDelay } = end.goodbye;
        const error = goodbyeError(end.goodbye);
        if (reconnect === ReconnectAdvice.STOP) throw error;
        if (reconnect === ReconnectAdvice.REAUTHENTICATE) {
          await this.#renew();
          return this.#pauseFor(this.#backoff.next(), error, signal);
        }
        const delayMs = reconnectDelay ? durationMs(reconnectDelay) : 0;
        const jitterMs = Math.max(GOODBYE_JITTER_MS_MIN, delayMs * GOODBYE_JITTER_SHARE);
        return this.#pauseFor(delayMs + this.#dependencies.random() * jitterMs, error, signal);
      }
    }
  }

  /** Replaces the token that was used. Rejects when the device is signed out; other failures show later. */
  async #renew(): Promise<void> {
    try {
      await this.#dependencies.tokens.accessToken(this.#usedToken);
    } catch (caught) {
      const error = toParleyError(caught);
      if (error.code === Code.Unauthenticated) throw error;
    }
  }

  async #pauseFor(ms: number, error: ParleyError | undefined, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#dependencies.onState({ state: "offline", error, retryAfterMs: ms });
    const pause = new AbortController();
    this.#pause = pause;
    const onAbort = () => pause.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    await sleep(ms, pause.signal).catch(() => {});
    signal.removeEventListener("abort", onAbort);
    this.#pause = undefined;
    signal.throwIfAborted();
  }
}
