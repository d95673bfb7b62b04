/** What presence needs from outside: a registry that forgets, and a store that remembers. */
import type { PresenceState } from "./domain/presence-rules.ts";

/** A gateway process as sessions name it. */
export type Gateway = {
  readonly gatewayId: string;
  /** `host:port` of its delivery service; empty in one process. */
  readonly gatewayAddress: string;
};

/** One session as a heartbeat carries it. */
export type SessionRegistration = {
  readonly sessionId: string;
  readonly userId: string;
  readonly deviceId: string;
  /** How long ago its client was last heard from, in ms. */
  readonly ageMs: number;
};

/** The people of a look-up who have a session on one gateway. Each person once per gateway. */
export type GatewayUsers = {
  gatewayId: string;
  gatewayAddress: string;
  userIds: string[];
};

export type RecordResult = {
  /** Sessions that were not registered before this call and now are. */
  readonly newSessionIds: string[];
  /** Sessions that were left out because the registry is full. */
  readonly refusedCount: number;
};

/** One watcher's set of people; disposing it ends all of it. */
export type PresenceWatch = Disposable & {
  /** Adds people. Each one's present state is reported, also of those who were in the set already. */
  add(userIds: readonly string[]): Promise<void>;
  /** Takes people out; nothing is reported of them after this has returned. */
  remove(userIds: readonly string[]): void;
  /** People in the set. */
  readonly size: number;
};

/** What the metrics show. */
export type RegistryFigures = {
  readonly sessions: number;
  readonly onlineUsers: number;
  readonly gateways: number;
  readonly watchedUsers: number;
};

/**
 * The registry of live sessions.
 *
 * Nothing in it is durable, and nothing needs to be: every heartbeat carries each session's whole
 * registration, so after a loss everything is back within one heartbeat interval.
 *
 * - A session lives until it is removed or OFFLINE_AFTER_MS after its client was last heard from, which is
 *   `ageMs` before its newest `record`. Being heard from never moves back: a late heartbeat with a greater
 *   age changes nothing. Time is the registry's own (Redis: `TIME` inside the script), never a gateway's.
 * - A person is online from their first live session to the end of their last. Each of the two moments is
 *   reported exactly once to every watch that holds the person, by whichever call or sweep causes it, and
 *   in order. Example of what must not happen: two instances sweep the last session of a person at once,
 *   and watchers are told "offline" a second time after the person came back. So the test "was this the
 *   last one" and the report are one atomic step (Redis: one Lua script on the keys of the person's hash slot,
 *   which publishes to the person's channel itself). Two changes that undo each other within the time a report
 *   needs from one instance to another may be left out together.
 * - When the registry has lost its sessions, a person without a session is `unknown`, not `offline`, for
 *   OFFLINE_AFTER_MS; whoever is then still without one is reported `offline` to their watchers.
 * - When a person goes offline, and every LAST_SEEN_INTERVAL_MS while they are online, the time they were
 *   last heard from goes to the last-seen store.
 */
export interface SessionRegistry extends AsyncDisposable {
  /**
   * Registers sessions of one gateway or renews them. Idempotent. A session that is registered for another
   * gateway, or that its gateway has for another person, moves. One whose age has reached OFFLINE_AFTER_MS is not registered, and neither are
   * new ones beyond the registry's limit. After it resolves, `lookUp` by anybody finds them. When it rejects,
   * they may be registered all the same; the next call that resolves names those as new that this one added.
   */
  record(gateway: Gateway, sessions: readonly SessionRegistration[]): Promise<RecordResult>;

  /** Takes out sessions of this gateway, or all that it has. Unknown ones and other gateways' are ignored. */
  remove(gatewayId: string, sessionIds: readonly string[] | "all"): Promise<void>;

  /**
   * Finds the gateways of people's live sessions; at most one entry per gateway. The hottest call of the
   * system: once per batch of events, with up to 500 people (Redis: one pipeline).
   */
  lookUp(userIds: readonly string[]): Promise<GatewayUsers[]>;

  /** Reads people's states, in the order of the ids. */
  read(userIds: readonly string[]): Promise<PresenceState[]>;

  /**
   * Opens a watch. `onState` is called with present states and with every change, in order per person, and
   * must neither throw nor wait. Subscriptions are counted across the watches of this process, so that a
   * person is subscribed to once (Redis: one SUBSCRIBE per channel).
   */
  watch(onState: (state: PresenceState) => void): PresenceWatch;

  /** Takes out what has expired. Called every SWEEP_INTERVAL_MS by every instance; how many do is all one. */
  sweep(): Promise<void>;

  /** Figures of the whole registry, or of what this instance knows of it. */
  figures(): RegistryFigures;
}

/**
 * When people were last heard from: the one thing of presence that survives a restart.
 *
 * - A time only replaces an earlier one.
 * - `record` is visible to `read` at once, and durable some seconds later: a crash may take a person's last
 *   seconds back, which nobody can tell from a lost heartbeat. (Redis: as durable as its operator made it.)
 * - `isEmpty` says whether nobody was ever seen: a registry that starts on an empty store lost nothing.
 */
export interface LastSeenStore extends AsyncDisposable {
  record(userId: string, lastSeenTimeMs: number): void;
  /** In the order of the ids; undefined for who was never seen. */
  read(userIds: readonly string[]): Promise<(number | undefined)[]>;
  isEmpty(): Promise<boolean>;
}
