/** What both ends of a batch stream agree on. */

/** One result as it travels back; `correlationId` is the item's. */
export type BatchOutcome<Result> = {
  readonly correlationId: bigint;
} & (
  | { readonly ok: true; readonly result: Result }
  | { readonly ok: false; readonly error: unknown }
);

/** Enough to keep a log batch of a few milliseconds busy; what the contract lets a stream leave unanswered. */
export const BATCH_ITEMS_IN_FLIGHT_MAX = 1024;
/** The contract's largest batch. */
export const BATCH_ITEMS_MAX = 256;
