/** From a batch of the log to what is written, answered and dispatched for it. */
import type { LogBatch, LogRecord } from "@parley/platform/log/port";
import {
  BatchWork,
  type ConversationEntries,
  isApplicable,
  type Known,
  keyOf,
  type RecordOutcome,
} from "./batch-work.ts";
import type { ConversationState, StoredRow } from "./domain/conversation.ts";
import type { DedupeEntry, DedupeKey } from "./domain/dedupe.ts";
import { type DecodedRecord, decodeRecord } from "./domain/record.ts";
import { RULES, type Rules } from "./domain/rules.ts";
import type { ConversationWrite, MessageStore, StoredParkedRecord } from "./ports.ts";

export type AppliedBatch = {
  /** One per record that was applied, in order: all of the batch, unless it stopped. */
  readonly outcomes: readonly RecordOutcome[];
  readonly records: readonly DecodedRecord[];
  readonly conversations: readonly ConversationWrite[];
  readonly parked: readonly StoredParkedRecord[];
  readonly fanout: readonly ConversationEntries[];
  /** The offset behind the last record that was applied. */
  readonly endOffset: number;
  /** The rules that the next record needs, if it is the one that the batch stopped at. */
  readonly stoppedBy: number | undefined;
};

export type BatchApplierDependencies = {
  readonly store: Pick<MessageStore, "loadConversations" | "findDedupe" | "findRow">;
  /** The states that are in memory; what is not is loaded. */
  readonly cached: (conversationId: string) => ConversationState | undefined;
  readonly rules?: Rules;
};

/** Applies a batch. Changes nothing: the same call gives the same result until its writes are made. */
export async function applyBatch(
  dependencies: BatchApplierDependencies,
  batch: LogBatch,
): Promise<AppliedBatch> {
  const decoded = batch.records.map((record) => decodeRecord(record.value));
  const stop = decoded.findIndex((record) => record.kind === "newer");
  const records = stop < 0 ? decoded : decoded.slice(0, stop);
  const known = await loadKnown(dependencies, batch, records);
  const work = new BatchWork(known, dependencies.rules ?? RULES);
  const outcomes = records.map((record, index) => {
    const logRecord = batch.records[index] as LogRecord;
    return work.apply(record, logRecord, index);
  });
  const newer = decoded[stop];
  const first = batch.records[0]?.offset ?? 0;
  return {
    outcomes,
    records,
    conversations: work.writes(),
    parked: work.parked,
    fanout: work.fanout(),
    endOffset: first + records.length,
    stoppedBy: newer?.kind === "newer" ? newer.rulesVersion : undefined,
  };
}

async function loadKnown(
  { store, cached }: BatchApplierDependencies,
  batch: LogBatch,
  records: readonly DecodedRecord[],
): Promise<Known> {
  const states = new Map<string, ConversationState>();
  const missing = new Set<string>();
  for (const record of records) {
    if (!isApplicable(record) || states.has(record.conversationId)) continue;
    const state = cached(record.conversationId);
    if (state === undefined) missing.add(record.conversationId);
    else states.set(record.conversationId, state);
  }
  if (missing.size > 0) {
    for (const [id, state] of await store.loadConversations([...missing])) states.set(id, state);
  }
  const queries: { index: number; key: DedupeKey; beforeOffset: number }[] = [];
  const processed: { index: number; state: ConversationState; offset: number }[] = [];
  for (const [index, record] of records.entries()) {
    if (!isApplicable(record)) continue;
    const offset = batch.records[index]?.offset ?? 0;
    const state = states.get(record.conversationId);
    if (state !== undefined && offset <= state.lastProcessedOffset) {
      processed.push({ index, state, offset });
    } else if (record.kind === "message") {
      queries.push({ index, key: keyOf(record), beforeOffset: offset });
    }
  }
  const [dedupe, rows] = await Promise.all([
    findDedupe(store, queries),
    findProcessedRows(store, processed),
  ]);
  return { states, dedupe, rows };
}

async function findDedupe(
  store: Pick<MessageStore, "findDedupe">,
  queries: readonly { index: number; key: DedupeKey; beforeOffset: number }[],
): Promise<ReadonlyMap<number, DedupeEntry>> {
  const found = new Map<number, DedupeEntry>();
  if (queries.length === 0) return found;
  const entries = await store.findDedupe(queries);
  for (const [at, { index }] of queries.entries()) {
    const entry = entries[at];
    if (entry !== undefined) found.set(index, entry);
  }
  return found;
}

/** The rows of records that are in the state already: they are delivered again. */
async function findProcessedRows(
  store: Pick<MessageStore, "findRow">,
  processed: readonly { index: number; state: ConversationState; offset: number }[],
): Promise<ReadonlyMap<number, StoredRow>> {
  const found = new Map<number, StoredRow>();
  for (const { index, state, offset } of processed) {
    const { conversationId, lastSeq } = state;
    const row = await store.findRow(conversationId, lastSeq, "offset", BigInt(offset));
    if (row?.offset === offset) found.set(index, row);
  }
  return found;
}
