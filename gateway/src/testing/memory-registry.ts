/** The session registry in memory, as the contract has it, with a switch to lose everything. */
import { create } from "@bufbuild/protobuf";
import {
  SessionRegistryService,
  type WatchPresenceRequest,
} from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import {
  type Presence,
  PresenceSchema,
  PresenceStatus,
} from "@parley/gen/parley/presence/v1/presence_pb";
import { createAsyncQueue } from "@parley/platform/async/queue";
import type { Route } from "@parley/platform/rpc/route";
import { partialRoute } from "./partial-route.ts";

type Registered = { readonly userId: string; readonly deviceId: string; ageMs: number };

export class MemoryRegistry {
  readonly sessions = new Map<string, Registered>();
  /** Set to refuse heartbeats. */
  failing: Error | undefined;
  heartbeats = 0;
  readonly watched = new Set<string>();
  readonly #online = new Map<string, number>();
  readonly #watchers = new Set<(presence: Presence) => void>();

  /** Everything is gone, as after a restart. */
  lose(): void {
    this.sessions.clear();
    this.#online.clear();
  }

  isOnline(userId: string): boolean {
    return (this.#online.get(userId) ?? 0) > 0;
  }

  /** Tells watchers a person's state. */
  announce(userId: string): void {
    if (!this.watched.has(userId)) return;
    for (const tell of this.#watchers) tell(this.#presence(userId));
  }

  get route(): Route {
    return partialRoute(SessionRegistryService, {
      recordHeartbeats: ({ sessions }) => {
        if (this.failing !== undefined) throw this.failing;
        this.heartbeats++;
        const newSessionIds: string[] = [];
        for (const { sessionId, userId, deviceId, ageMs } of sessions) {
          if (!this.sessions.has(sessionId)) {
            newSessionIds.push(sessionId);
            this.#online.set(userId, (this.#online.get(userId) ?? 0) + 1);
          }
          this.sessions.set(sessionId, { userId, deviceId, ageMs });
          this.announce(userId);
        }
        return { newSessionIds };
      },
      removeSessions: ({ sessionIds }) => {
        const gone = sessionIds.length === 0 ? [...this.sessions.keys()] : sessionIds;
        for (const sessionId of gone) {
          const userId = this.sessions.get(sessionId)?.userId;
          this.sessions.delete(sessionId);
          if (userId === undefined) continue;
          this.#online.set(userId, (this.#online.get(userId) ?? 1) - 1);
          this.announce(userId);
        }
        return {};
      },
      watchPresence: (requests) => this.#watch(requests),
    });
  }

  async *#watch(requests: AsyncIterable<WatchPresenceRequest>) {
    const answers = createAsyncQueue<Presence>({ max: 10_000 });
    const tell = (presence: Presence) => void answers.push(presence);
    this.#watchers.add(tell);
    const read = async () => {
      for await (const { addedUserIds, removedUserIds } of requests) {
        for (const userId of removedUserIds) this.watched.delete(userId);
        for (const userId of addedUserIds) {
          this.watched.add(userId);
          tell(this.#presence(userId));
        }
      }
    };
    read().then(
      () => answers.close(),
      () => answers.close(),
    );
    try {
      for await (const presence of answers) yield { presences: [presence] };
    } finally {
      this.#watchers.delete(tell);
    }
  }

  #presence(userId: string): Presence {
    const status = this.isOnline(userId) ? PresenceStatus.ONLINE : PresenceStatus.OFFLINE;
    return create(PresenceSchema, { userId, status });
  }
}
