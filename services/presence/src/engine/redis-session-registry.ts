/**
 * The session registry in Redis, shared by every instance of the service. Lua scripts decide, each about one
 * shard of the people, by the engine's clock; see redis-keys.ts for the layout and lua/ for the decisions.
 *
 * Nothing needs Redis to keep anything: what it lost is there again after one heartbeat of every gateway. All
 * calls reject with `REDIS_UNAVAILABLE` while it cannot be reached; the gateways' next heartbeat repeats them.
 */
import { randomUUID } from "node:crypto";
import { RedisCommandError, type RedisConnection } from "@parley/platform/storage/engine/redis";
import { OFFLINE_AFTER_MS, type PresenceState } from "../domain/presence-rules.ts";
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
import { createRedisKeys, groupByShard, type RedisKeys } from "./redis-keys.ts";
import { createRemoval, type Removal, throwFirst } from "./redis-removal.ts";
import {
  createSessionScripts,
  parseFormer,
  parseLookUp,
  parseRead,
  parseRecord,
  type SessionOfPerson,
  type SessionScripts,
} from "./redis-session-scripts.ts";
import { createShardBook, type ShardBook } from "./redis-shard-book.ts";
import { sweepShards } from "./redis-sweep.ts";
import { createRedisWatches, type NumberedState, type RedisWatches } from "./redis-watches.ts";
import { createUnansweredCalls } from "./unanswered-calls.ts";

export type RedisSessionRegistryOptions = {
  /** Stays its caller's to dispose of. */
  readonly connection: RedisConnection;
  /** One that all instances share; stays its caller's to dispose of. */
  readonly lastSeen: LastSeenStore;
  /**
   * Sessions that are held at most. Instances know of each other's as of the last sweep: what arrives within
   * a second through several of them may exceed it.
   */
  readonly sessionsMax: number;
  /** True if a registry that is not there may have been lost; false if it is then the first of its installation. */
  readonly lostSessions: boolean;
  /** The engine's time in ms; for tests alone. */
  readonly engineTimeMs?: () => number;
};

/** Creates the registry; its shards come to be with the first heartbeat or sweep. */
export function createRedisSessionRegistry(options: RedisSessionRegistryOptions): SessionRegistry {
  return new RedisSessionRegistry(options);
}

type Registered = { readonly fresh: Set<string>; readonly leftOut: Set<string> };

class RedisSessionRegistry implements SessionRegistry {
  readonly #options: RedisSessionRegistryOptions;
  readonly #connection: RedisConnection;
  readonly #keys: RedisKeys;
  readonly #scripts: SessionScripts;
  readonly #book: ShardBook;
  readonly #watches: RedisWatches;
  readonly #removal: Removal;
  readonly #unanswered = createUnansweredCalls();
  readonly #instance = randomUUID().slice(0, 8);
  #calls = 0;
  #gateways = 0;

  constructor(options: RedisSessionRegistryOptions) {
    const { connection, lastSeen, lostSessions, engineTimeMs } = options;
    const keys = createRedisKeys(connection.prefix);
    this.#options = options;
    this.#connection = connection;
    this.#keys = keys;
    this.#book = createShardBook({ lastSeen, watches: () => this.#watches });
    this.#scripts = createSessionScripts({
      connection,
      keys,
      isLoss: (shard) => lostSessions || this.#book.hasMet(shard),
      engineTimeMs,
    });
    const read = (userIds: readonly string[]) => this.#readNumbered(userIds);
    this.#watches = createRedisWatches({ connection, keys, read });
    const { scripts, book } = { scripts: this.#scripts, book: this.#book };
    this.#removal = createRemoval({ connection, keys, scripts, book });
  }

  async record(
    gateway: Gateway,
    registrations: readonly SessionRegistration[],
  ): Promise<RecordResult> {
    const live = registrations.filter(({ ageMs }) => ageMs < OFFLINE_AFTER_MS);
    if (live.length === 0) return { newSessionIds: [], refusedCount: 0 };
    const room = this.#options.sessionsMax - this.#book.counts.sessions;
    if (live.length <= room) {
      const { fresh } = await this.#register(gateway, live, "add");
      return { newSessionIds: idsIn(live, fresh), refusedCount: 0 };
    }
    // Nearly full: who is there first, and then as many of the others as fit.
    const renewed = await this.#register(gateway, live, "renew");
    const others = live.filter(({ sessionId }) => renewed.leftOut.has(sessionId));
    const left = Math.max(0, this.#options.sessionsMax - this.#book.counts.sessions);
    const added = await this.#register(gateway, others.slice(0, left), "add");
    return {
      newSessionIds: idsIn(live, new Set([...renewed.fresh, ...added.fresh])),
      refusedCount: Math.max(0, others.length - left),
    };
  }

  async remove(gatewayId: string, sessionIds: readonly string[] | "all"): Promise<void> {
    if (sessionIds === "all") await this.#removal.removeGateway(gatewayId);
    else await this.#removal.removeSessions(gatewayId, sessionIds);
  }

  async lookUp(userIds: readonly string[]): Promise<GatewayUsers[]> {
    const shards = [...groupByShard([...new Set(userIds)], (userId) => userId)];
    const replies = await this.#connection.run(
      shards.map(([shard, people]) => this.#scripts.lookUp(shard, people)),
    );
    const found = new Map<string, readonly Gateway[]>();
    for (const [index, [, people]] of shards.entries()) {
      const gateways = parseLookUp(replies[index]);
      for (const [at, userId] of people.entries()) found.set(userId, gateways[at] ?? []);
    }
    return byGateway(userIds, found);
  }

  async read(userIds: readonly string[]): Promise<PresenceState[]> {
    const states = await this.#readNumbered(userIds);
    return states.map(({ userId, status, lastSeenTimeMs }) => ({ userId, status, lastSeenTimeMs }));
  }

  watch(onState: (state: PresenceState) => void): PresenceWatch {
    return this.#watches.open(onState);
  }

  async sweep(): Promise<void> {
    await sweepShards({
      connection: this.#connection,
      keys: this.#keys,
      scripts: this.#scripts,
      book: this.#book,
      removal: this.#removal,
      lastSeen: this.#options.lastSeen,
    });
    const [gateways] = await this.#connection.run([this.#scripts.countGateways()]);
    this.#gateways = Number(gateways);
    await this.#watches.refresh();
  }

  figures(): RegistryFigures {
    return {
      ...this.#book.counts,
      gateways: this.#gateways,
      watchedUsers: this.#watches.userCount,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watches[Symbol.asyncDispose]();
  }

  /** One round trip, however many sessions. What other people's it takes over costs another one. */
  async #register(
    gateway: Gateway,
    sessions: readonly SessionRegistration[],
    mode: "add" | "renew",
  ): Promise<Registered> {
    const call = `${this.#instance}.${this.#calls++}`;
    const shards = [...groupByShard(sessions, ({ userId }) => userId)];
    const commands = shards.map(([shard, some]) => {
      const named = some.map((session) => {
        return { ...session, call: this.#unanswered.callOf(session.sessionId) ?? call };
      });
      return this.#scripts.record(shard, gateway, named, mode);
    });
    const { gatewayId } = gateway;
    if (mode === "add" && sessions.length > 0) {
      commands.push(this.#scripts.rememberGateway(gatewayId, sessions));
    }
    commands.push(this.#scripts.countGateways(gatewayId));
    try {
      const replies = await this.#connection.runEach(commands);
      const registered = this.#takeRegistered(shards, replies);
      this.#gateways = Number(replies.at(-1));
      if (mode === "add" && sessions.length > 0) {
        await this.#takeOver(gatewayId, parseFormer(replies.at(-2)), registered);
      }
      this.#unanswered.answered(sessions);
      return registered;
    } catch (error) {
      this.#unanswered.failed(sessions, call);
      throw error;
    }
  }

  /** What the scripts that ran have done is true, also when another of them failed. */
  #takeRegistered(
    shards: readonly (readonly [number, unknown])[],
    replies: readonly unknown[],
  ): Registered {
    const fresh = new Set<string>();
    const leftOut = new Set<string>();
    for (const [index, [shard]] of shards.entries()) {
      const reply = replies[index];
      if (reply instanceof RedisCommandError) continue;
      const { newSessionIds, leftOutSessionIds, changes, counts } = parseRecord(reply);
      for (const id of newSessionIds) fresh.add(id);
      for (const id of leftOutSessionIds) leftOut.add(id);
      this.#book.heardOf(shard, changes, counts);
    }
    throwFirst(replies);
    return { fresh, leftOut };
  }

  /** Sessions that this gateway had for another person have moved; they were not new. */
  async #takeOver(
    gatewayId: string,
    former: readonly SessionOfPerson[],
    { fresh }: Registered,
  ): Promise<void> {
    if (former.length === 0) return;
    for (const { sessionId } of await this.#removal.takeOut(gatewayId, former))
      fresh.delete(sessionId);
  }

  async #readNumbered(userIds: readonly string[]): Promise<NumberedState[]> {
    const shards = [...groupByShard([...new Set(userIds)], (userId) => userId)];
    // The states first: who goes offline between the two has a time by then.
    const replies = await this.#connection.run(
      shards.map(([shard, people]) => this.#scripts.read(shard, people)),
    );
    const times = await this.#options.lastSeen.read(userIds);
    const found = new Map<string, Pick<NumberedState, "status" | "change">>();
    for (const [index, [shard, people]] of shards.entries()) {
      const { change, unknown, statuses } = parseRead(replies[index]);
      this.#book.heardUnknown(shard, unknown);
      for (const [at, userId] of people.entries()) {
        found.set(userId, { status: statuses[at] ?? "offline", change });
      }
    }
    return userIds.map((userId, index) => {
      const { status, change } = found.get(userId) ?? { status: "offline", change: 0 };
      const lastSeenTimeMs = status === "offline" ? times[index] : undefined;
      return { userId, status, lastSeenTimeMs, change };
    });
  }
}

function idsIn(sessions: readonly SessionRegistration[], ids: ReadonlySet<string>): string[] {
  const inOrder = sessions.map(({ sessionId }) => sessionId).filter((id) => ids.has(id));
  return [...new Set(inOrder)];
}

/** At most one entry per gateway, and each person once in it. */
function byGateway(
  userIds: readonly string[],
  found: ReadonlyMap<string, readonly Gateway[]>,
): GatewayUsers[] {
  const gateways = new Map<string, GatewayUsers>();
  for (const userId of new Set(userIds)) {
    for (const { gatewayId, gatewayAddress } of found.get(userId) ?? []) {
      let entry = gateways.get(gatewayId);
      if (entry === undefined) {
        entry = { gatewayId, gatewayAddress, userIds: [] };
        gateways.set(gatewayId, entry);
      }
      if (entry.userIds.at(-1) !== userId) entry.userIds.push(userId);
    }
  }
  return [...gateways.values()];
}
