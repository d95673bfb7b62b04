/**
 * Many logical calls over one long-lived bidirectional stream whose messages are batches. Both ends
 * collect what one turn of the event loop produces, so that framing, system calls and wake-ups are paid
 * once per batch and not once per call.
 *
 *   caller ── call(item) ──┐                       ┌── handleItem(item) ── result
 *   caller ── call(item) ──┼── Batch{id, item}* ───┤
 *   caller ── call(item) ──┘                       └── BatchResponse{id, outcome}* in order of completion
 */
export * from "./batch-outcome.ts";
export * from "./batch-stream-client.ts";
export * from "./batch-stream-server.ts";
