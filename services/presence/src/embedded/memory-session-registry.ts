/** The session registry of one process: everything in memory, nothing per session but one object. */
import type { Clock } from "@parley/platform/clock";
import { createExpiryWheel, type Expiring } from "../domain/expiry-wheel.ts";
import {
  LAST_SEEN_INTERVAL_MS,
  OFFLINE_AFTER_MS,
  type PresenceState,
  SWEEP_INTERVAL_MS,
} from "../domain/presence-rules.ts";
import type {
  Gateway,
  GatewayUsers,
  LastSeenStore,
  PresenceWatch,
  RecordResult,
  RegistryFigures,
  SessionRegistration,
  SessionRegistry,
} from "../ports.ts";
import { createWatchTable, type WatchTable } from "./watch-table.ts";

export type MemorySessionRegistryOptions = {
  readonly clock: Clock;
  readonly lastSeen: LastSeenStore;
  /** Sessions that are held at most; what does not fit counts as offline. */
  readonly sessionsMax: number;
  /** True if there may have been sessions before this registry: who is absent is then unknown at first. */
  readonly lostSessions: boolean;
};

/** Creates an empty registry. The store stays its caller's to dispose of. */
export function createMemorySessionRegistry(
  options: MemorySessionRegistryOptions,
): SessionRegistry {
  return new MemorySessionRegistry(options);
}

type User = {
  readonly userId: string;
  /** Never empty: a person without a session is not in the table. */
  readonly sessions: Session[];
  /** When any of the sessions was last heard from, in ms of the clock. */
  heardTimeMs: number;
};

type GatewayEntry = {
  readonly gatewayId: string;
  gatewayAddress: string;
  readonly sessions: Set<Session>;
  /** The look-up that `found` belongs to: saves a map per look-up. */
  lookUp: number;
  found: string[];
};

type Session = Expiring & {
  readonly sessionId: string;
  readonly user: User;
  readonly gateway: GatewayEntry;
};

const NOBODY: string[] = [];
/** So many sweeps go through everybody who is online. */
const LAST_SEEN_SWEEPS = LAST_SEEN_INTERVAL_MS / SWEEP_INTERVAL_MS;

class MemorySessionRegistry implements SessionRegistry {
  readonly #options: MemorySessionRegistryOptions;
  readonly #wheel = createExpiryWheel<Session>({
    widthMs: SWEEP_INTERVAL_MS,
    horizonMs: OFFLINE_AFTER_MS,
  });
  readonly #users = new Map<string, User>();
  readonly #sessions = new Map<string, Session>();
  readonly #gateways = new Map<string, GatewayEntry>();
  readonly #watches: WatchTable;
  #lookUps = 0;
  /** Until then, who is absent is unknown; undefined once it is over. */
  #unknownUntilMs: number | undefined;
  /** Who is known to be offline although the above is not over. */
  readonly #knownOffline = new Set<string>();
  #ending: Promise<void> | undefined;
  /** Where the record of last-seen times of people online stands. */
  #recording: Iterator<User> | undefined;

  constructor(options: MemorySessionRegistryOptions) {
    this.#options = options;
    this.#watches = createWatchTable((userIds) => this.read(userIds));
    this.#unknownUntilMs = options.lostSessions ? this.#nowMs() + OFFLINE_AFTER_MS : undefined;
  }

  async record(
    from: Gateway,
    registrations: readonly SessionRegistration[],
  ): Promise<RecordResult> {
    const nowMs = this.#nowMs();
    const clockMs = this.#options.clock.nowMs();
    const newSessionIds: string[] = [];
    let refusedCount = 0;
    let gateway = this.#gateways.get(from.gatewayId);
    if (gateway !== undefined) gateway.gatewayAddress = from.gatewayAddress;
    for (const registration of registrations) {
      if (registration.ageMs >= OFFLINE_AFTER_MS) continue;
      const deadlineMs = nowMs - registration.ageMs + OFFLINE_AFTER_MS;
      const heardTimeMs = clockMs - registration.ageMs;
      const known = this.#sessions.get(registration.sessionId);
      const { userId } = registration;
      if (known !== undefined && known.gateway === gateway && known.user.userId === userId) {
        if (deadlineMs > known.deadlineMs) known.deadlineMs = deadlineMs;
        if (heardTimeMs > known.user.heardTimeMs) known.user.heardTimeMs = heardTimeMs;
        continue;
      }
      if (known === undefined && this.#sessions.size >= this.#options.sessionsMax) {
        refusedCount++;
        continue;
      }
      gateway ??= this.#addGateway(from);
      this.#add(registration, gateway, deadlineMs, heardTimeMs);
      // Added before the one it replaces is taken out, so that moving never looks like leaving.
      if (known === undefined) newSessionIds.push(registration.sessionId);
      else this.#takeOut(known);
    }
    return { newSessionIds, refusedCount };
  }

  async remove(gatewayId: string, sessionIds: readonly string[] | "all"): Promise<void> {
    const gateway = this.#gateways.get(gatewayId);
    if (gateway === undefined) return;
    if (sessionIds === "all") {
      for (const session of [...gateway.sessions]) this.#takeOut(session);
      return;
    }
    for (const sessionId of sessionIds) {
      const session = this.#sessions.get(sessionId);
      if (session?.gateway === gateway) this.#takeOut(session);
    }
  }

  async lookUp(userIds: readonly string[]): Promise<GatewayUsers[]> {
    const lookUp = ++this.#lookUps;
    const gateways: GatewayUsers[] = [];
    for (const userId of userIds) {
      const user = this.#users.get(userId);
      if (user === undefined) continue;
      for (const { gateway } of user.sessions) {
        if (gateway.lookUp !== lookUp) {
          gateway.lookUp = lookUp;
          gateway.found = [];
          const { gatewayId, gatewayAddress, found } = gateway;
          gateways.push({ gatewayId, gatewayAddress, userIds: found });
        }
        const { found } = gateway;
        if (found[found.length - 1] !== userId) found.push(userId);
      }
    }
    return gateways;
  }

  async read(userIds: readonly string[]): Promise<PresenceState[]> {
    const times = await this.#options.lastSeen.read(userIds);
    return userIds.map((userId, index) => {
      if (this.#users.has(userId)) return { userId, status: "online", lastSeenTimeMs: undefined };
      if (this.#isUnknown(userId)) return { userId, status: "unknown", lastSeenTimeMs: undefined };
      return { userId, status: "offline", lastSeenTimeMs: times[index] };
    });
  }

  watch(onState: (state: PresenceState) => void): PresenceWatch {
    return this.#watches.open(onState);
  }

  async sweep(): Promise<void> {
    const nowMs = this.#nowMs();
    this.#wheel.sweep(nowMs, (session) => this.#takeOut(session));
    this.#recordLastSeen(Math.ceil(this.#users.size / LAST_SEEN_SWEEPS));
    if (this.#unknownUntilMs !== undefined && nowMs >= this.#unknownUntilMs) {
      this.#ending ??= this.#endUnknown();
      await this.#ending;
    }
  }

  figures(): RegistryFigures {
    return {
      sessions: this.#sessions.size,
      onlineUsers: this.#users.size,
      gateways: this.#gateways.size,
      watchedUsers: this.#watches.userCount,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { lastSeen } = this.#options;
    for (const user of this.#users.values()) lastSeen.record(user.userId, user.heardTimeMs);
  }

  #nowMs(): number {
    return this.#options.clock.monotoneMs();
  }

  #addGateway({ gatewayId, gatewayAddress }: Gateway): GatewayEntry {
    const sessions = new Set<Session>();
    const gateway = { gatewayId, gatewayAddress, sessions, lookUp: 0, found: NOBODY };
    this.#gateways.set(gatewayId, gateway);
    return gateway;
  }

  #add(
    { sessionId, userId }: SessionRegistration,
    gateway: GatewayEntry,
    deadlineMs: number,
    heardTimeMs: number,
  ): void {
    let user = this.#users.get(userId);
    const cameOnline = user === undefined;
    if (user === undefined) {
      user = { userId, sessions: [], heardTimeMs };
      this.#users.set(userId, user);
    }
    user.heardTimeMs = Math.max(user.heardTimeMs, heardTimeMs);
    const session: Session = { sessionId, user, gateway, deadlineMs, wheelSlot: -1 };
    user.sessions.push(session);
    gateway.sessions.add(session);
    this.#sessions.set(sessionId, session);
    this.#wheel.add(session);
    if (cameOnline) {
      this.#watches.report({ userId, status: "online", lastSeenTimeMs: undefined });
    }
  }

  #takeOut(session: Session): void {
    const { user, gateway, sessionId } = session;
    const { userId, sessions } = user;
    this.#wheel.remove(session);
    // A session that moved has its successor under the same id.
    if (this.#sessions.get(sessionId) === session) this.#sessions.delete(sessionId);
    gateway.sessions.delete(session);
    if (gateway.sessions.size === 0) this.#gateways.delete(gateway.gatewayId);
    sessions.splice(sessions.indexOf(session), 1);
    if (sessions.length > 0) return;
    this.#users.delete(userId);
    const remember = this.#unknownUntilMs !== undefined;
    if (remember && this.#knownOffline.size < this.#options.sessionsMax) {
      this.#knownOffline.add(userId);
    }
    const lastSeenTimeMs = user.heardTimeMs;
    this.#options.lastSeen.record(userId, lastSeenTimeMs);
    this.#watches.report({ userId, status: "offline", lastSeenTimeMs });
  }

  /** Goes on through the people online; a Map's iterator follows its changes, so everybody's turn comes. */
  #recordLastSeen(count: number): void {
    for (let done = 0; done < count; done++) {
      this.#recording ??= this.#users.values();
      const next = this.#recording.next();
      if (next.done === true) {
        this.#recording = undefined;
        return;
      }
      this.#options.lastSeen.record(next.value.userId, next.value.heardTimeMs);
    }
  }

  /** Nobody is unknown any more: whoever is watched and has not come back is offline. */
  async #endUnknown(): Promise<void> {
    const times = new Map<string, number | undefined>();
    for (;;) {
      // More people may be watched by the time the store has answered.
      const missing = this.#watches.userIds().filter((userId) => !times.has(userId));
      if (missing.length === 0) break;
      const read = await this.#options.lastSeen.read(missing);
      for (const [index, userId] of missing.entries()) times.set(userId, read[index]);
    }
    for (const [userId, lastSeenTimeMs] of times) {
      if (this.#users.has(userId) || !this.#isUnknown(userId)) continue;
      this.#watches.report({ userId, status: "offline", lastSeenTimeMs });
    }
    this.#unknownUntilMs = undefined;
    this.#knownOffline.clear();
  }

  #isUnknown(userId: string): boolean {
    return this.#unknownUntilMs !== undefined && !this.#knownOffline.has(userId);
  }
}
