/**
 * The applier: from a record and the conversation's state to the next state and what is written. Pure, so
 * that a record that is applied again, by whomever and after whatever, gives the same rows.
 */
import type { ConversationChange } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { MessageSubmitted } from "@parley/gen/parley/internal/message/v1/log_record_pb";
import type { ConversationState, StoredRow } from "./conversation.ts";
import type { DedupeEntry } from "./dedupe.ts";
import { encodeMessageEvent, timestampOf } from "./event.ts";
import {
  beginConversation,
  changeMembers,
  contradicts,
  type MembershipEffects,
  takesPlace,
} from "./membership.ts";
import type { ApplicableRecord } from "./record.ts";
import { type RecordPosition, RULES, type Rules } from "./rules.ts";

/** Why a record has no effect. The names are those that callers are told. */
export type RefusalReason =
  /** There is no such conversation. */
  | "CONVERSATION_NOT_FOUND"
  /** The sender is no member now. */
  | "NOT_A_MEMBER"
  /** The other person of the direct conversation blocks the sender. */
  | "CANNOT_SEND"
  /** The payload is larger than the limit in the record. */
  | "PAYLOAD_TOO_LARGE"
  /** A change whose predecessor has not come yet. */
  | "CHANGE_OUT_OF_ORDER"
  /** A change of a version that another change has taken. */
  | "CHANGE_CONFLICT";

/** What the store knows about a record besides its conversation's state. */
export type KnownAboutRecord = {
  /** The newest dedupe entry of the message's key that is older than the record. */
  readonly dedupe?: DedupeEntry | undefined;
  /** The row that this very record became, if the state has it in it already. */
  readonly row?: StoredRow | undefined;
};

export type Applied =
  /** The record became an entry, or a change without a place (then without a row). */
  | {
      readonly kind: "accepted";
      readonly state: ConversationState;
      readonly row: StoredRow | undefined;
      readonly dedupe: DedupeEntry | undefined;
      readonly membership: MembershipEffects | undefined;
    }
  /** The message was accepted before, as `first`. */
  | {
      readonly kind: "duplicate";
      readonly state: ConversationState;
      readonly first: Pick<DedupeEntry, "seq" | "messageId" | "appendTimeMs">;
    }
  /** The change was applied before. */
  | { readonly kind: "duplicate-change"; readonly state: ConversationState }
  | {
      readonly kind: "refused";
      readonly state: ConversationState | undefined;
      readonly reason: RefusalReason;
    }
  /** The state has this record in it already; `row` is what it became, if anything. */
  | {
      readonly kind: "processed";
      readonly state: ConversationState;
      readonly row: StoredRow | undefined;
    };

export type ApplyInput = {
  /** Undefined before the conversation was created. */
  readonly state: ConversationState | undefined;
  readonly record: ApplicableRecord;
  readonly position: RecordPosition;
  readonly known: KnownAboutRecord;
};

/** Applies one record. Never throws for anything that a record can hold. */
export function applyRecord(input: ApplyInput, rules: Rules = RULES): Applied {
  const { state, record, position, known } = input;
  if (state !== undefined && rules.isProcessed(state, position.offset)) {
    return { kind: "processed", state, row: known.row };
  }
  if (record.kind === "change") return applyChange(state, record, position, rules);
  return applyMessage(state, record.message, position, known, rules);
}

function applyMessage(
  state: ConversationState | undefined,
  message: MessageSubmitted,
  position: RecordPosition,
  known: KnownAboutRecord,
  rules: Rules,
): Applied {
  if (state === undefined) return { kind: "refused", state, reason: "CONVERSATION_NOT_FOUND" };
  const first = known.dedupe;
  // Before every refusal: who repeats a message gets its first result, whatever happened since.
  if (first !== undefined && rules.isDuplicate(first, position, Number(message.dedupeWindowMs))) {
    return { kind: "duplicate", state: processed(state, position), first };
  }
  const reason = refuseMessage(state, message, rules);
  if (reason !== undefined) {
    return { kind: "refused", state: processed(state, position), reason };
  }
  const { senderUserId, senderDeviceId, clientMessageId } = message;
  const { conversationId } = state;
  const next = advance(state, position, rules, message.silent ? 0 : 1);
  const row = rowOf(next, position, senderUserId, {
    senderDeviceId,
    clientMessageId,
    clientTime: timestampOf(clientTimeMsOf(message, position)),
    body: { case: "payload", value: message.payload },
  });
  const key = { conversationId, userId: senderUserId, deviceId: senderDeviceId, clientMessageId };
  const { seq, messageId, offset, appendTimeMs } = row;
  const dedupe = { key, offset, seq, messageId, appendTimeMs };
  return { kind: "accepted", state: next, row, dedupe, membership: undefined };
}

/** What keeps a message out, by the state that its record meets. */
export function refuseMessage(
  state: ConversationState,
  message: MessageSubmitted,
  rules: Pick<Rules, "payloadBytesMax"> = RULES,
): RefusalReason | undefined {
  const member = state.members.get(message.senderUserId);
  if (member === undefined) return "NOT_A_MEMBER";
  if (!member.maySend) return "CANNOT_SEND";
  if (message.payload.byteLength > rules.payloadBytesMax(message)) return "PAYLOAD_TOO_LARGE";
  return undefined;
}

function applyChange(
  known: ConversationState | undefined,
  record: Extract<ApplicableRecord, { kind: "change" }>,
  position: RecordPosition,
  rules: Rules,
): Applied {
  const { change, conversationId } = record;
  const state = known ?? beginConversation(conversationId, change);
  if (state === undefined) return { kind: "refused", state: known, reason: "CHANGE_OUT_OF_ORDER" };
  const membershipVersion = Number(change.membershipVersion);
  const judged = rules.judgeVersion(state, membershipVersion);
  if (judged === "old" && known !== undefined) {
    // Both leave the same state, so this needs no new version of the rules: only the answer differs.
    const after = processed(known, position);
    return contradicts(known, change)
      ? { kind: "refused", state: after, reason: "CHANGE_CONFLICT" }
      : { kind: "duplicate-change", state: after };
  }
  if (judged !== "next") {
    const after = known === undefined ? undefined : processed(known, position);
    return { kind: "refused", state: after, reason: "CHANGE_OUT_OF_ORDER" };
  }
  const placed = takesPlace(change);
  const moved = placed ? advance(state, position, rules, 0) : processed(state, position);
  const membership = changeMembers(state.members, change, moved.lastSeq);
  const next = { ...moved, membershipVersion, members: membership.members };
  const row = placed ? rowOfChange(next, change, position) : undefined;
  return { kind: "accepted", state: next, row, dedupe: undefined, membership };
}

function rowOfChange(
  state: ConversationState,
  change: ConversationChange,
  position: RecordPosition,
): StoredRow {
  return rowOf(state, position, change.actorUserId, { body: { case: "change", value: change } });
}

function processed(state: ConversationState, position: RecordPosition): ConversationState {
  return { ...state, lastProcessedOffset: position.offset };
}

function advance(
  state: ConversationState,
  position: RecordPosition,
  rules: Rules,
  unread: 0 | 1,
): ConversationState {
  return {
    ...state,
    lastSeq: state.lastSeq + 1,
    lastMessageId: rules.nextMessageId(position, state.lastMessageId),
    lastProcessedOffset: position.offset,
    lastAppendTimeMs: position.appendTimeMs,
    unreadOrdinal: state.unreadOrdinal + unread,
  };
}

/** The row of the newest entry of a state. */
function rowOf(
  state: ConversationState,
  position: RecordPosition,
  senderUserId: string,
  content: Omit<
    Parameters<typeof encodeMessageEvent>[0],
    | "$typeName"
    | "conversationId"
    | "seq"
    | "messageId"
    | "senderUserId"
    | "acceptTime"
    | "unreadOrdinal"
    | "membershipVersion"
  >,
): StoredRow {
  const { lastSeq, lastMessageId, unreadOrdinal, membershipVersion } = state;
  const { offset, appendTimeMs } = position;
  const event = encodeMessageEvent({
    ...content,
    conversationId: state.conversationId,
    seq: BigInt(lastSeq),
    messageId: lastMessageId,
    senderUserId,
    acceptTime: timestampOf(appendTimeMs),
    unreadOrdinal: BigInt(unreadOrdinal),
    membershipVersion: BigInt(membershipVersion),
  });
  return {
    seq: lastSeq,
    messageId: lastMessageId,
    offset,
    appendTimeMs,
    unreadOrdinal,
    membershipVersion,
    senderUserId,
    event,
  };
}

/** The last moment that a `Timestamp` can be shown as text: the end of the year 9999. */
const TIMESTAMP_MAX_MS = 253_402_300_799_999;

/** The device's own time, or the log's when the device stated none or one that no calendar has. */
function clientTimeMsOf(message: MessageSubmitted, position: RecordPosition): number {
  const timeMs = Number(message.clientTimeMs);
  return timeMs > 0 && timeMs <= TIMESTAMP_MAX_MS ? timeMs : position.appendTimeMs;
}
