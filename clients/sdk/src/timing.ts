/** Every wait of a client, in one place. Tests and unusual networks replace some. */

export type Timing = {
  /** An opening that brings no `opened` for this long counts as failed; a buffering proxy shows so. */
  readonly openTimeoutMs: number;
  /** A frame that is not answered for this long has an unknown outcome. */
  readonly requestTimeoutMs: number;
  /** Without a word from the server for this long, and for three heartbeats, a session counts as lost. */
  readonly silenceMs: number;
  /** Bound of the first pause before reconnecting. */
  readonly reconnectInitialMs: number;
  /** Bound of every pause before reconnecting: a server that was down for an hour is not stormed. */
  readonly reconnectMaxMs: number;
  /** A session that lived for this long counts as healthy, and pauses start from the first bound again. */
  readonly healthyAfterMs: number;
  /** How often a session on a lesser road looks whether a better one works again. */
  readonly betterRoadMs: number;
  /** How long a long poll waits on the server: below the 30 seconds after which a person seems offline. */
  readonly longPollWaitMs: number;
  /** The pause between short polls. */
  readonly shortPollIntervalMs: number;
  /** How long a polled session may go without one successful poll; the server keeps it for 60 seconds. */
  readonly pollFailureMs: number;
  /** How long closing a session waits for the server to hear of it. */
  readonly closeTimeoutMs: number;
  /** An access token that expires within this time is renewed. */
  readonly tokenMarginMs: number;
  /** How long a gap may last before it is read: an own message's answer often overtakes others' events. */
  readonly gapGraceMs: number;
  /** At most one delivered receipt per conversation in this time. */
  readonly receiptIntervalMs: number;
  /** At most one typing notice per conversation in this time; the server passes no more on. */
  readonly typingIntervalMs: number;
  /** After this time without a further notice, somebody no longer types. */
  readonly typingExpiryMs: number;
};

export const defaultTiming: Timing = {
  openTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  silenceMs: 10_000,
  reconnectInitialMs: 500,
  reconnectMaxMs: 30_000,
  healthyAfterMs: 5_000,
  betterRoadMs: 300_000,
  longPollWaitMs: 20_000,
  shortPollIntervalMs: 2_000,
  pollFailureMs: 30_000,
  closeTimeoutMs: 2_000,
  tokenMarginMs: 30_000,
  gapGraceMs: 300,
  receiptIntervalMs: 1_000,
  typingIntervalMs: 3_000,
  typingExpiryMs: 6_000,
};
