/** How long sessions wait and how much they hold; every figure with its reason. */

/** As the contract says: one frame of a client, encoded. */
export const FRAME_BYTES_MAX = 512 * 1024;
/** As the contract says: how often a client sends a heartbeat, and how often the registry hears of sessions. */
export const HEARTBEAT_INTERVAL_MS = 5000;
/** A session that was silent for longer is asked for a sign of life: one heartbeat is late. */
export const PING_AFTER_MS = 6000;
/** As the contract says. */
export const IDLE_MS_MAX = 60_000;
/** Time for `open`, and for the positions that follow it. */
export const OPEN_MS_MAX = 10_000;
/** A client that gives the closing handshake no answer, or does not read its goodbye, is cut off. */
export const CLOSING_MS_MAX = 30_000;
/** Catch-up that the client takes nothing of for so long ends the session as too slow. */
export const CATCH_UP_STALL_MS_MAX = 30_000;
/** As the contract says. */
export const SESSIONS_PER_DEVICE_MAX = 8;
/** Frames of one session without an answer: a burst of pasted messages, not a flood. */
export const ANSWERS_IN_FLIGHT_MAX = 256;
/** Conversations that one session keeps a position of; what is above is named as skipped. */
export const SESSION_POSITIONS_MAX = 20_000;
/** How often everything with a time limit is looked at: one sweep over all sessions instead of timers. */
export const SWEEP_INTERVAL_MS = 1000;
/** How often the directory is asked about the devices of open sessions. */
export const DEVICE_CHECK_INTERVAL_MS = 60_000;
/** How often it is asked again whose presence a session may see. */
export const VISIBILITY_CHECK_INTERVAL_MS = 30_000;
/** One typing notice per conversation and person. */
export const TYPING_INTERVAL_MS = 3000;
