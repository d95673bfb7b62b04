/** The numbers that presence is made of. They are promises of the contract, not settings. */

/** How often a gateway tells the registry about all of its sessions. */
export const HEARTBEAT_INTERVAL_MS = 5000;

/** A session that was not heard from for this long counts as offline: five heartbeats may get lost. */
export const OFFLINE_AFTER_MS = 30_000;

/** How often expired sessions are looked for: what "offline" may be late by. */
export const SWEEP_INTERVAL_MS = 1000;

/** How often the last-seen times of people who stay online are put on record, for the case of a crash. */
export const LAST_SEEN_INTERVAL_MS = 60_000;

/**
 * What is known of a person.
 *
 * - `online`: at least one session was heard from within OFFLINE_AFTER_MS.
 * - `offline`: none was.
 * - `unknown`: none was, but the registry lost its sessions less than OFFLINE_AFTER_MS ago, and the person
 *   may only not have been announced again. Watchers are told once it is known.
 */
export type PresenceStatus = "online" | "offline" | "unknown";

export type PresenceState = {
  readonly userId: string;
  readonly status: PresenceStatus;
  /** When the person was last heard from, in ms since the Unix epoch; only while offline; undefined if never. */
  readonly lastSeenTimeMs: number | undefined;
};
