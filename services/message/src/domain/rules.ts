/** The decisions that make the state a function of the log (DESIGN, section 1), each as one function. */
import type { MessageSubmitted } from "@parley/gen/parley/internal/message/v1/log_record_pb";
import type { ConversationState } from "./conversation.ts";
import { type DedupeEntry, isDuplicate } from "./dedupe.ts";
import { nextMessageId } from "./message-id.ts";

/** A record's place in the log. */
export type RecordPosition = {
  readonly partition: number;
  readonly offset: number;
  /** The log's clock when it took the record, in ms since the Unix epoch. May go back. */
  readonly appendTimeMs: number;
};

export type Rules = {
  /** Rule 1: the id of the entry that a record becomes. */
  nextMessageId(position: RecordPosition, lastMessageId: bigint): bigint;
  /** Rule 2: what the message may weigh, from its own record. */
  payloadBytesMax(message: MessageSubmitted): number;
  /** Rule 3: whether the state has this record in it already. */
  isProcessed(state: ConversationState, offset: number): boolean;
  /** Rule 4: whether the record repeats the message of an entry. */
  isDuplicate(
    known: Pick<DedupeEntry, "offset" | "appendTimeMs">,
    position: RecordPosition,
    windowMs: number,
  ): boolean;
  /** Rule 9: what to do with a change to this version. */
  judgeVersion(state: ConversationState, membershipVersion: number): "next" | "old" | "gap";
};

/** The rules of version 1. */
export const RULES: Rules = {
  nextMessageId,
  payloadBytesMax: (message) => message.payloadBytesMax,
  isProcessed: (state, offset) => offset <= state.lastProcessedOffset,
  isDuplicate,
  judgeVersion(state, membershipVersion) {
    if (membershipVersion === state.membershipVersion + 1) return "next";
    return membershipVersion <= state.membershipVersion ? "old" : "gap";
  },
};
