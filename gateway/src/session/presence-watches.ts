/** Whose presence each session watches. People are watched once per gateway, however many sessions want them. */
import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import {
  type Presence,
  PresenceSchema,
  PresenceStatus,
} from "@parley/gen/parley/presence/v1/presence_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import type { WatchPresence } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { Clock } from "@parley/platform/clock";
import type { Logger } from "@parley/platform/telemetry/logger";
import { type EventFrame, ephemeralEvent } from "../outbound/event-frame.ts";
import { VISIBILITY_CHECK_INTERVAL_MS } from "./limits.ts";
import type { PresenceStream } from "./presence-stream.ts";
import type { Session } from "./session.ts";

/** What one session watches. */
export type Watch = {
  readonly wanted: readonly string[];
  readonly conversationId: string;
  visible: ReadonlySet<string>;
  /** When that was asked, in monotone time. */
  checkedMs: number;
  /** All present states follow at once; until then single ones are held back. */
  waiting: boolean;
};

type Watched = {
  readonly watchers: Set<Session>;
  /** The newest state; undefined until the registry has told it. */
  event: EventFrame | undefined;
  readonly known: PromiseWithResolvers<void>;
};

export type PresenceWatchesDependencies = {
  readonly directory: Pick<Client<typeof DirectoryService>, "filterVisiblePresence">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly deliver: (session: Session, event: EventFrame) => void;
  readonly openStream: (
    onPresence: (presence: Presence) => void,
    watched: () => Iterable<string>,
  ) => PresenceStream;
};

/** `done` does not wait longer for the registry's states; they follow as events. */
const STATES_MS_MAX = 2000;

export class PresenceWatches implements AsyncDisposable {
  readonly #dependencies: PresenceWatchesDependencies;
  readonly #watched = new Map<string, Watched>();
  readonly #stream: PresenceStream;

  constructor(dependencies: PresenceWatchesDependencies) {
    this.#dependencies = dependencies;
    this.#stream = dependencies.openStream(
      (presence) => this.#onPresence(presence),
      () => this.#watched.keys(),
    );
  }

  /** People whom any session watches. */
  get size(): number {
    return this.#watched.size;
  }

  /** Replaces what a session watches; resolves when their present states are in its queue. */
  async replace(session: Session, request: WatchPresence): Promise<void> {
    const wanted = [...new Set(request.userIds)];
    const watch: Watch = {
      wanted,
      conversationId: request.conversationId,
      visible: session.watch?.visible ?? new Set(),
      checkedMs: this.#dependencies.clock.monotoneMs(),
      waiting: true,
    };
    session.watch = watch;
    let visible: Set<string>;
    try {
      visible = await this.#filter(session, watch);
      // A newer frame has replaced the set meanwhile, or nobody is there any more.
      if (session.watch !== watch || session.ended) return;
      this.#apply(session, watch, visible);
      await this.#states(visible);
    } finally {
      watch.waiting = false;
    }
    if (session.watch !== watch || session.ended) return;
    for (const userId of visible) {
      const event = this.#watched.get(userId)?.event;
      if (event !== undefined) this.#dependencies.deliver(session, event);
    }
  }

  /** Takes the session's interest back. */
  drop(session: Session): void {
    const { watch } = session;
    if (watch === undefined) return;
    session.watch = undefined;
    for (const userId of watch.visible) this.#release(session, userId);
  }

  /** Asks again whom the session may see, if that is due by monotone time: blocks and settings change. */
  recheck(session: Session, nowMs: number): void {
    const { watch } = session;
    if (watch === undefined || nowMs - watch.checkedMs < VISIBILITY_CHECK_INTERVAL_MS) return;
    watch.checkedMs = nowMs;
    this.#recheck(session, watch).catch((error: unknown) => {
      this.#dependencies.log.warn({ error }, "The directory did not say who may see whom.");
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stream[Symbol.asyncDispose]();
  }

  async #recheck(session: Session, watch: Watch): Promise<void> {
    const visible = await this.#filter(session, watch);
    if (session.watch !== watch || session.ended) return;
    const before = watch.visible;
    this.#apply(session, watch, visible);
    const { deliver } = this.#dependencies;
    for (const userId of before) {
      if (!visible.has(userId)) deliver(session, hiddenEvent(userId));
    }
    for (const userId of visible) {
      const event = before.has(userId) ? undefined : this.#watched.get(userId)?.event;
      if (event !== undefined) deliver(session, event);
    }
  }

  async #filter(session: Session, watch: Watch): Promise<Set<string>> {
    if (watch.wanted.length === 0) return new Set();
    const answer = await this.#dependencies.directory.filterVisiblePresence({
      viewerUserId: session.userId,
      userIds: [...watch.wanted],
      conversationId: watch.conversationId,
    });
    const wanted = new Set(watch.wanted);
    return new Set(answer.visibleUserIds.filter((userId) => wanted.has(userId)));
  }

  #apply(session: Session, watch: Watch, visible: ReadonlySet<string>): void {
    const before = watch.visible;
    watch.visible = visible;
    for (const userId of visible) {
      if (!before.has(userId)) this.#retain(session, userId);
    }
    for (const userId of before) {
      if (!visible.has(userId)) this.#release(session, userId);
    }
  }

  #retain(session: Session, userId: string): void {
    let watched = this.#watched.get(userId);
    if (watched === undefined) {
      watched = { watchers: new Set(), event: undefined, known: Promise.withResolvers<void>() };
      this.#watched.set(userId, watched);
      this.#stream.add(userId);
    }
    watched.watchers.add(session);
  }

  #release(session: Session, userId: string): void {
    const watched = this.#watched.get(userId);
    if (watched === undefined) return;
    watched.watchers.delete(session);
    if (watched.watchers.size > 0) return;
    this.#watched.delete(userId);
    watched.known.resolve();
    this.#stream.remove(userId);
  }

  /** Waits until the registry has told everybody's state, or for as long as a client should wait. */
  async #states(userIds: ReadonlySet<string>): Promise<void> {
    const unknown: Promise<void>[] = [];
    for (const userId of userIds) {
      const watched = this.#watched.get(userId);
      if (watched !== undefined && watched.event === undefined) unknown.push(watched.known.promise);
    }
    if (unknown.length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, STATES_MS_MAX);
    timer.unref();
    await Promise.race([Promise.all(unknown), promise]);
    clearTimeout(timer);
  }

  #onPresence(presence: Presence): void {
    const watched = this.#watched.get(presence.userId);
    if (watched === undefined) return;
    watched.event = presenceEvent(presence);
    watched.known.resolve();
    for (const session of watched.watchers) {
      if (session.watch?.waiting === false) this.#dependencies.deliver(session, watched.event);
    }
  }
}

function presenceEvent(presence: Presence): EventFrame {
  return ephemeralEvent(create(EventSchema, { event: { case: "presence", value: presence } }));
}

function hiddenEvent(userId: string): EventFrame {
  return presenceEvent(create(PresenceSchema, { userId, status: PresenceStatus.UNSPECIFIED }));
}
