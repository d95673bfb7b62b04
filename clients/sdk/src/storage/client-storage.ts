/** What a client keeps across restarts, and the port through which it does. */

/** The signed-in account. Whoever reads it can act as the device: adapters protect it as well as they can. */
export type StoredAccount = {
  readonly userId: string;
  readonly deviceId: string;
  readonly username: string;
  readonly accessToken: string;
  /** When the access token expires, in ms since 1970. */
  readonly accessExpireMs: number;
  readonly refreshToken: string;
  /** When the refresh token expires, in ms since 1970. */
  readonly refreshExpireMs: number;
};

/** Entries from `first` to `last`, both included. */
export type SeqRange = { readonly first: bigint; readonly last: bigint };

/** How far the device has one conversation. */
export type StoredTimeline = {
  readonly conversationId: string;
  /** The highest `seq` below which nothing is missing but `holes`. */
  readonly position: bigint;
  /** The id of the entry at `position`; 0 where it is not known, missing where an earlier version wrote. */
  readonly messageId?: bigint;
  /** Ranges below `position` that catch-up left out, in ascending order, not touching each other. */
  readonly holes: readonly SeqRange[];
  /** How far the person has read here. */
  readonly readSeq: bigint;
  /** How far the server confirmed reading. */
  readonly confirmedReadSeq: bigint;
  /** How far the server confirmed delivery. */
  readonly confirmedDeliveredSeq: bigint;
};

/** One entry of a conversation, as an encoded `parley.message.v1.Message`. */
export type StoredEntry = {
  readonly conversationId: string;
  readonly seq: bigint;
  readonly bytes: Uint8Array;
};

/** A message on its way out. */
export type StoredSend = {
  readonly clientMessageId: string;
  readonly conversationId: string;
  /** Place in the outbox: within a conversation, sends go out in this order. */
  readonly order: number;
  readonly payload: Uint8Array;
  readonly silent: boolean;
  /** When the person pressed send, in ms since 1970. */
  readonly clientTimeMs: number;
  /** The device that tried first; empty before the first attempt. Repetition is recognised per device. */
  readonly deviceId: string;
  /** When the first attempt was made, in ms since 1970; 0 before it. */
  readonly firstAttemptMs: number;
  /** Why the server refused it; null while it waits. */
  readonly failure: {
    readonly code: number;
    readonly reason: string;
    readonly message: string;
  } | null;
};

/** Everything but the entries. */
export type StoredState = {
  readonly account: StoredAccount | undefined;
  readonly timelines: readonly StoredTimeline[];
  /** In the order of `order`. */
  readonly sends: readonly StoredSend[];
  readonly settings: Readonly<Record<string, string>>;
};

/** Changes that happen together or not at all. */
export type StorageBatch = {
  /** The account from now on; null removes it. */
  readonly account?: StoredAccount | null;
  /**
   * Timelines to put whatever position is stored, and whose entries above that position are removed: the
   * server's history turned out to be another. Happens before anything below.
   */
  readonly rewoundTimelines?: readonly StoredTimeline[];
  /** Timelines to put. One whose position is below the stored position is ignored: two tabs share storage. */
  readonly timelines?: readonly StoredTimeline[];
  /** Entries to put. */
  readonly entries?: readonly StoredEntry[];
  /** Sends to put, by `clientMessageId`. */
  readonly sends?: readonly StoredSend[];
  /** Sends to remove; unknown ones are ignored. Removal happens after putting. */
  readonly removedSends?: readonly string[];
  /** Small values to put, by name. */
  readonly settings?: Readonly<Record<string, string>>;
};

/**
 * The port.
 *
 * - `write` is atomic: after a crash either all of a batch is there or nothing of it. For example, a position
 *   is never there without the entries that it covers.
 * - Batches apply in the order in which `write` was called, also when the calls overlap.
 * - `write` resolves when a crash of the program cannot undo it; reads that begin later see it.
 * - At least the newest `entriesKeptMax` entries of a conversation stay readable; older ones may go.
 * - Values that were handed in or out are not changed by either side.
 * - After `close` every call rejects.
 */
export type ClientStorage = {
  /** Reads everything but the entries. */
  load(): Promise<StoredState>;
  /** Reads the account as it is now; another tab may have replaced its tokens. */
  readAccount(): Promise<StoredAccount | undefined>;
  /**
   * Reads the newest `count` entries of a conversation that are below `beforeSeq` (all if undefined), oldest
   * first. They need not be consecutive.
   */
  readEntries(
    conversationId: string,
    options: { readonly beforeSeq?: bigint | undefined; readonly count: number },
  ): Promise<StoredEntry[]>;
  /** Applies a batch. */
  write(batch: StorageBatch): Promise<void>;
  /** Removes everything: another person signs in. */
  clear(): Promise<void>;
  /** Finishes what was written and lets go of files and handles. */
  close(): Promise<void>;
};

/** Entries kept per conversation: some screens of history without asking the server. */
export const ENTRIES_KEPT_MAX = 500;
