/** Tells the session registry which sessions live here: new ones at once, all of them every interval. */

import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  type SessionRegistryService,
  type SessionState,
  SessionStateSchema,
} from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import type { Clock } from "@parley/platform/clock";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { Session } from "./session.ts";

export type RegistrationDependencies = {
  readonly registry: Pick<
    Client<typeof SessionRegistryService>,
    "recordHeartbeats" | "removeSessions"
  >;
  readonly gatewayId: string;
  /** Where the gateway's `DeliveryService` is reached; empty in one process. */
  readonly gatewayAddress: string;
  readonly clock: Clock;
  readonly log: Logger;
};

/** Sessions of one request, as the contract says. */
const SESSIONS_PER_REQUEST_MAX = 1000;
/** What `age_ms` can hold. */
const AGE_MS_MAX = 2 ** 32 - 1;
/** Removals that wait for a registry that does not answer; it forgets silent sessions by itself. */
const REMOVALS_WAITING_MAX = 50_000;

type Joining = { readonly session: Session; readonly done: PromiseWithResolvers<void> };

export class Registration {
  readonly #dependencies: RegistrationDependencies;
  #joining: Joining[] = [];
  #leaving: string[] = [];
  #scheduled = false;
  #ticking = false;
  #closed = false;
  readonly #working = new Set<Promise<void>>();
  /** Sessions whose last heartbeat was not answered. */
  readonly #unanswered = new WeakSet<Session>();
  /** Heartbeats on their way: they name sessions that may end before the registry has read them. */
  readonly #recording = new Set<Promise<unknown>>();

  constructor(dependencies: RegistrationDependencies) {
    this.#dependencies = dependencies;
  }

  /** Registers a session; resolves once the registry answers for it, and rejects when it does not. */
  join(session: Session): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#joining.push({ session, done });
    this.#schedule();
    return done.promise;
  }

  /** Takes a session out: in this turn of the event loop, behind the heartbeats that still name it. */
  leave(session: Session): void {
    if (this.#leaving.length < REMOVALS_WAITING_MAX) this.#leaving.push(session.id);
    this.#schedule();
  }

  /** Reports all sessions; answers with those that the registry had, or may have, lost. A late tick is left out. */
  async tick(sessions: Iterable<Session>): Promise<Session[]> {
    if (this.#ticking) return [];
    this.#ticking = true;
    const lost: Session[] = [];
    try {
      let some: Session[] = [];
      const send = async () => {
        const sent = some;
        some = [];
        const isNew = new Set(await this.#recordKnown(sent));
        for (const session of sent) {
          // One whose first registration is on its way reads the inbox after it anyway.
          if (isNew.has(session.id) && session.registered && !session.ended) lost.push(session);
        }
      };
      for (const session of sessions) {
        some.push(session);
        if (some.length === SESSIONS_PER_REQUEST_MAX) await send();
      }
      if (some.length > 0) await send();
    } catch (error) {
      this.#dependencies.log.warn({ error }, "The session registry took no heartbeats.");
    } finally {
      this.#ticking = false;
    }
    return lost;
  }

  /** Resolves when what was begun has been answered, and all sessions are taken out. Nothing is told after it. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#working, ...this.#recording]);
    const { registry, gatewayId, log } = this.#dependencies;
    try {
      await registry.removeSessions({ gatewayId, sessionIds: [] });
    } catch (error) {
      log.warn({ error }, "The session registry was not told that the gateway ends.");
    }
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#track(this.#flush());
    });
  }

  #track(work: Promise<void>): void {
    this.#working.add(work);
    void work.finally(() => this.#working.delete(work));
  }

  async #flush(): Promise<void> {
    const joining = this.#joining;
    const leaving = this.#leaving;
    this.#joining = [];
    this.#leaving = [];
    const requests: Promise<void>[] = [];
    const present = joining.filter(({ session, done }) => {
      // Whoever opens it sees that it has ended; the registry is not told what is over.
      if (session.ended) done.resolve();
      return !session.ended;
    });
    for (let at = 0; at < present.length; at += SESSIONS_PER_REQUEST_MAX) {
      requests.push(this.#recordNew(present.slice(at, at + SESSIONS_PER_REQUEST_MAX)));
    }
    for (let at = 0; at < leaving.length; at += SESSIONS_PER_REQUEST_MAX) {
      requests.push(this.#remove(leaving.slice(at, at + SESSIONS_PER_REQUEST_MAX)));
    }
    await Promise.all(requests);
  }

  async #recordNew(joining: readonly Joining[]): Promise<void> {
    try {
      await this.#record(joining.map(({ session }) => session));
      for (const { session, done } of joining) {
        session.registered = true;
        done.resolve();
      }
    } catch (error) {
      for (const { done } of joining) done.reject(error);
    }
  }

  /**
   * The ids of those that were new to the registry, now or at an attempt whose answer was lost: it may have taken them
   * anew then, after events had passed them by.
   */
  async #recordKnown(sessions: readonly Session[]): Promise<readonly string[]> {
    let newIds: readonly string[];
    try {
      newIds = await this.#record(sessions);
    } catch (error) {
      for (const session of sessions) this.#unanswered.add(session);
      throw error;
    }
    const before = sessions.filter((session) => this.#unanswered.delete(session));
    return [...newIds, ...before.map(({ id }) => id)];
  }

  async #record(sessions: readonly Session[]): Promise<readonly string[]> {
    const { registry, gatewayId, gatewayAddress, clock } = this.#dependencies;
    const nowMs = clock.monotoneMs();
    const states = sessions.map((session) => stateOf(session, nowMs));
    if (this.#closed) throw new Error("the gateway has told the registry that it ends");
    const request = { gatewayId, gatewayAddress, sessions: states };
    const answering = registry.recordHeartbeats(request);
    this.#recording.add(answering);
    try {
      return (await answering).newSessionIds;
    } finally {
      this.#recording.delete(answering);
    }
  }

  async #remove(sessionIds: string[]): Promise<void> {
    const { registry, gatewayId, log } = this.#dependencies;
    // Overtaken by the heartbeats that were made before, they would put the sessions back for half a minute.
    // Those made later do not name them any more.
    await Promise.allSettled(this.#recording);
    if (this.#closed) return;
    try {
      await registry.removeSessions({ gatewayId, sessionIds });
    } catch (error) {
      log.warn({ error }, "The session registry was not told of ended sessions.");
    }
  }
}

function stateOf(session: Session, nowMs: number): SessionState {
  return create(SessionStateSchema, {
    sessionId: session.id,
    userId: session.userId,
    deviceId: session.deviceId,
    ageMs: Math.min(AGE_MS_MAX, Math.max(0, Math.round(nowMs - session.heardMs))),
  });
}
