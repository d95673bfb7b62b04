/** Applying the records of one batch, and collecting what that makes of each conversation. */
import { create } from "@bufbuild/protobuf";
import {
  type FanoutEntry,
  FanoutEntrySchema,
} from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import type { LogRecord } from "@parley/platform/log/port";
import { type Applied, applyRecord, type RefusalReason } from "./domain/applier.ts";
import type {
  ClosedWindow,
  ConversationState,
  StoredReceipt,
  StoredRow,
} from "./domain/conversation.ts";
import { type DedupeEntry, type DedupeKey, dedupeKeyText } from "./domain/dedupe.ts";
import { type MembershipEffects, takesPlace } from "./domain/membership.ts";
import type { ApplicableRecord, DecodedRecord } from "./domain/record.ts";
import type { Rules } from "./domain/rules.ts";
import type { ConversationWrite, StoredParkedRecord } from "./ports.ts";

/** What became of one record; what its caller is answered. */
export type RecordOutcome =
  | {
      readonly kind: "accepted";
      /** 0 for a change that takes no place; the first result for a duplicate. */
      readonly seq: number;
      readonly messageId: bigint;
      readonly acceptTimeMs: number;
      readonly duplicate: boolean;
    }
  | { readonly kind: "refused"; readonly reason: RefusalReason }
  | { readonly kind: "parked" }
  /** It was processed before, and what came of it can no longer be said. */
  | { readonly kind: "unknown" };

/** Entries of one conversation to bring to its members, in order. */
export type ConversationEntries = {
  readonly state: ConversationState;
  readonly entries: FanoutEntry[];
};

/** What the store knows about the records of a batch, by conversation and by index in the batch. */
export type Known = {
  readonly states: Map<string, ConversationState>;
  readonly dedupe: ReadonlyMap<number, DedupeEntry>;
  readonly rows: ReadonlyMap<number, StoredRow>;
};

export function isApplicable(record: DecodedRecord): record is ApplicableRecord {
  return record.kind === "message" || record.kind === "change";
}

/** The dedupe key of a message. */
export function keyOf(record: Extract<ApplicableRecord, { kind: "message" }>): DedupeKey {
  const { senderUserId, senderDeviceId, clientMessageId } = record.message;
  const { conversationId } = record;
  return { conversationId, userId: senderUserId, deviceId: senderDeviceId, clientMessageId };
}

/** What one conversation has become so far. */
type ConversationWork = {
  state: ConversationState;
  changed: boolean;
  readonly dedupe: DedupeEntry[];
  readonly rows: StoredRow[];
  readonly closedWindows: ClosedWindow[];
  readonly members: Map<string, boolean>;
  readonly receipts: Map<string, StoredReceipt>;
  readonly entries: FanoutEntry[];
};

/** The state of a batch while its records are applied in order. */
export class BatchWork {
  readonly parked: StoredParkedRecord[] = [];
  readonly #known: Known;
  readonly #rules: Rules;
  readonly #conversations = new Map<string, ConversationWork>();
  readonly #newDedupe = new Map<string, DedupeEntry>();

  constructor(known: Known, rules: Rules) {
    this.#known = known;
    this.#rules = rules;
  }

  apply(record: DecodedRecord, logRecord: LogRecord, index: number): RecordOutcome {
    if (!isApplicable(record)) return this.#park(record, logRecord);
    const work = this.#conversations.get(record.conversationId);
    const state = work?.state ?? this.#known.states.get(record.conversationId);
    const applied = applyRecord(
      {
        state,
        record,
        position: logRecord,
        known: { dedupe: this.#dedupeOf(record, index), row: this.#known.rows.get(index) },
      },
      this.#rules,
    );
    return this.#take(record, logRecord, applied);
  }

  writes(): ConversationWrite[] {
    return [...this.#conversations.values()]
      .filter((work) => work.changed)
      .map((work) => ({
        state: work.state,
        dedupe: work.dedupe,
        rows: work.rows,
        closedWindows: work.closedWindows,
        membersPut: [...work.members].filter(([, present]) => present).map(([id]) => id),
        membersRemoved: [...work.members].filter(([, present]) => !present).map(([id]) => id),
        receipts: [...work.receipts.values()],
      }));
  }

  fanout(): ConversationEntries[] {
    return [...this.#conversations.values()]
      .filter((work) => work.entries.length > 0)
      .map(({ state, entries }) => ({ state, entries }));
  }

  #park(record: DecodedRecord, logRecord: LogRecord): RecordOutcome {
    const { topic, partition, offset, appendTimeMs, value } = logRecord;
    const reason = record.kind === "poison" ? record.reason : "";
    const sizeBytes = value.byteLength;
    this.parked.push({ topic, partition, offset, appendTimeMs, sizeBytes, reason });
    return { kind: "parked" };
  }

  /** An entry that this batch made is newer than what the store had before it. */
  #dedupeOf(record: ApplicableRecord, index: number): DedupeEntry | undefined {
    if (record.kind !== "message") return undefined;
    const made =
      this.#newDedupe.size === 0 ? undefined : this.#newDedupe.get(dedupeKeyText(keyOf(record)));
    return made ?? this.#known.dedupe.get(index);
  }

  #take(record: ApplicableRecord, logRecord: LogRecord, applied: Applied): RecordOutcome {
    const { state } = applied;
    if (state === undefined) return refusedWithoutState(applied);
    const work = this.#workOf(state);
    const { offset, appendTimeMs } = logRecord;
    switch (applied.kind) {
      case "accepted": {
        work.changed = true;
        const { row, dedupe, membership } = applied;
        if (dedupe !== undefined) {
          work.dedupe.push(dedupe);
          this.#newDedupe.set(dedupeKeyText(dedupe.key), dedupe);
        }
        if (membership !== undefined) noteMembership(work, membership);
        work.entries.push(entryOf(record, row, offset));
        if (row === undefined) return acceptedAt(0, 0n, appendTimeMs, false);
        work.rows.push(row);
        if (record.kind === "message") noteSenderRead(work, row);
        return acceptedAt(row.seq, row.messageId, appendTimeMs, false);
      }
      case "duplicate": {
        work.changed = true;
        const { seq, messageId } = applied.first;
        return acceptedAt(seq, messageId, applied.first.appendTimeMs, true);
      }
      case "duplicate-change":
        work.changed = true;
        return acceptedAt(0, 0n, appendTimeMs, true);
      case "refused":
        work.changed = true;
        return { kind: "refused", reason: applied.reason };
      case "processed":
        return takeProcessed(work, record, applied.row, offset);
    }
  }

  #workOf(state: ConversationState): ConversationWork {
    const found = this.#conversations.get(state.conversationId);
    if (found !== undefined) {
      found.state = state;
      return found;
    }
    const work: ConversationWork = {
      state,
      changed: false,
      dedupe: [],
      rows: [],
      closedWindows: [],
      members: new Map(),
      receipts: new Map(),
      entries: [],
    };
    this.#conversations.set(state.conversationId, work);
    return work;
  }
}

function refusedWithoutState(applied: Applied): RecordOutcome {
  const reason = applied.kind === "refused" ? applied.reason : "CONVERSATION_NOT_FOUND";
  return { kind: "refused", reason };
}

function takeProcessed(
  work: ConversationWork,
  record: ApplicableRecord,
  row: StoredRow | undefined,
  offset: number,
): RecordOutcome {
  const unplaced = record.kind === "change" && !takesPlace(record.change);
  if (row !== undefined || unplaced) work.entries.push(entryOf(record, row, offset));
  if (row === undefined) return { kind: "unknown" };
  return acceptedAt(row.seq, row.messageId, row.appendTimeMs, false);
}

function acceptedAt(
  seq: number,
  messageId: bigint,
  acceptTimeMs: number,
  duplicate: boolean,
): RecordOutcome {
  return { kind: "accepted", seq, messageId, acceptTimeMs, duplicate };
}

function noteMembership(work: ConversationWork, membership: MembershipEffects): void {
  for (const userId of membership.put) work.members.set(userId, true);
  for (const userId of membership.removed) work.members.set(userId, false);
  work.closedWindows.push(...membership.closed);
}

/** Who sends has read everything before. */
function noteSenderRead(work: ConversationWork, row: StoredRow): void {
  const { senderUserId: userId, seq, appendTimeMs } = row;
  work.receipts.set(userId, {
    userId,
    deliveredSeq: seq,
    readSeq: seq,
    updateTimeMs: appendTimeMs,
  });
}

function entryOf(
  record: ApplicableRecord,
  row: StoredRow | undefined,
  offset: number,
): FanoutEntry {
  const message = record.kind === "message" ? record.message : undefined;
  const change = record.kind === "change" ? record.change : undefined;
  return create(FanoutEntrySchema, {
    seq: BigInt(row?.seq ?? 0),
    messageId: row?.messageId ?? 0n,
    unreadOrdinal: BigInt(row?.unreadOrdinal ?? 0),
    event: row?.event ?? NO_EVENT,
    senderUserId: message?.senderUserId ?? change?.actorUserId ?? "",
    originSessionId: message?.originSessionId ?? "",
    countsAsUnread: message !== undefined && !message.silent,
    ...(change === undefined ? {} : { change }),
    traceParent: record.traceParent,
    offset: BigInt(offset),
  });
}

const NO_EVENT = new Uint8Array();
