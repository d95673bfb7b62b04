/** Storage that ends with the program: for bots that start afresh, and for tests. */
import { Code } from "@connectrpc/connect";
import { clientError } from "../errors.ts";
import { type ClientStorage, ENTRIES_KEPT_MAX } from "./client-storage.ts";
import { applyBatch, clearState, createState, entriesBefore, toStoredState } from "./state.ts";

/** Creates a storage in memory. */
export function createMemoryStorage(
  options: { readonly entriesKeptMax?: number } = {},
): ClientStorage {
  const { entriesKeptMax = ENTRIES_KEPT_MAX } = options;
  const state = createState();
  let closed = false;

  // Every call answers in a later microtask, as the adapters with real I/O do.
  const run = async <T>(work: () => T): Promise<T> => {
    if (closed) throw clientError(Code.Canceled, "CLOSED", "The storage is closed.");
    return work();
  };
  return {
    load: () => run(() => toStoredState(state)),
    readAccount: () => run(() => state.account),
    readEntries: (conversationId, { beforeSeq, count }) =>
      run(() => entriesBefore(state, conversationId, beforeSeq, count)),
    write: (batch) => run(() => applyBatch(state, batch, entriesKeptMax)),
    clear: () => run(() => clearState(state)),
    async close() {
      closed = true;
    },
  };
}
