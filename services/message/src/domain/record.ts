/** Records of topic `messages`: reading them the same way everywhere, and making them. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ConversationChange } from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  ConversationRecordSchema,
  type MessageSubmitted,
} from "@parley/gen/parley/internal/message/v1/log_record_pb";

/** The newest version of the rules that this applier knows; what it produces needs no more than this. */
export const RULES_VERSION = 1;

/** People's and devices' ids are UUIDs; this is what a store's key has room for, with a wide margin. */
export const ID_CHARACTERS_MAX = 128;

const CONVERSATION_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** A record that can be applied. */
export type ApplicableRecord = {
  readonly conversationId: string;
  /** Empty if the call that produced it was not sampled. */
  readonly traceParent: string;
} & (
  | { readonly kind: "message"; readonly message: MessageSubmitted }
  | { readonly kind: "change"; readonly change: ConversationChange }
);

export type DecodedRecord =
  | ApplicableRecord
  /** Nobody can decode it: it is parked and skipped. The reason is a sentence for an operator. */
  | { readonly kind: "poison"; readonly reason: string }
  /** It needs newer rules than this applier has: its partition stops here. */
  | { readonly kind: "newer"; readonly rulesVersion: number };

/**
 * Decodes a record. What is poison is a function of the bytes alone, so that everybody parks the same
 * records: reasons must never depend on a configuration, a state or the text of a library's error.
 */
export function decodeRecord(value: Uint8Array): DecodedRecord {
  let decoded: ReturnType<typeof decode>;
  try {
    decoded = decode(value);
  } catch {
    return { kind: "poison", reason: "The bytes are no ConversationRecord." };
  }
  const { rulesVersion, conversationId, traceParent, record } = decoded;
  if (rulesVersion > RULES_VERSION) return { kind: "newer", rulesVersion };
  if (rulesVersion === 0) return { kind: "poison", reason: "The rules version is missing." };
  if (!isConversationId(conversationId)) {
    return { kind: "poison", reason: "The conversation's id is no UUID." };
  }
  if (record.case === "message") {
    const message = record.value;
    const problem = problemOfMessage(message);
    if (problem !== undefined) return { kind: "poison", reason: problem };
    return { kind: "message", conversationId, traceParent, message };
  }
  if (record.case === "change") {
    const { change } = record.value;
    if (change?.change.case === undefined) {
      return { kind: "poison", reason: "The change does not say what changed." };
    }
    const problem = problemOfChange(change);
    if (problem !== undefined) return { kind: "poison", reason: problem };
    return { kind: "change", conversationId, traceParent, change };
  }
  return { kind: "poison", reason: "The record holds neither a message nor a change." };
}

/** Whether the text can name a conversation: a UUID in lower-case canonical form. */
export function isConversationId(text: string): boolean {
  return CONVERSATION_ID.test(text);
}

/** The record's bytes, stamped with the rules that this version produces for. */
export function encodeRecord(record: ApplicableRecord): Uint8Array {
  const { conversationId, traceParent } = record;
  return toBinary(
    ConversationRecordSchema,
    create(ConversationRecordSchema, {
      rulesVersion: RULES_VERSION,
      conversationId,
      traceParent,
      record:
        record.kind === "message"
          ? { case: "message", value: record.message }
          : { case: "change", value: { change: record.change } },
    }),
  );
}

function decode(value: Uint8Array) {
  return fromBinary(ConversationRecordSchema, value);
}

/** What makes a message impossible to store, or undefined. */
export function problemOfMessage(message: MessageSubmitted): string | undefined {
  const { senderUserId, senderDeviceId, clientMessageId } = message;
  const fits = isId(senderUserId) && isId(senderDeviceId) && isId(clientMessageId);
  if (!fits) return "The sender, the device or the client's id is missing or too long.";
  if (!Number.isSafeInteger(Number(message.clientTimeMs))) {
    return "The client's time is not a time.";
  }
  return undefined;
}

/** What makes a change impossible to store, or undefined. */
export function problemOfChange(change: ConversationChange): string | undefined {
  if (change.membershipVersion < 1n || change.membershipVersion > BigInt(2 ** 53 - 1)) {
    return "The membership version is out of range.";
  }
  return peopleOf(change).every(isId)
    ? undefined
    : "A person's id in the change is missing or too long.";
}

function peopleOf(change: ConversationChange): readonly string[] {
  switch (change.change.case) {
    case "created":
      return change.change.value.members.map(({ userId }) => userId);
    case "membersAdded":
      return change.change.value.userIds;
    case "memberRemoved":
    case "roleChanged":
    case "sendPermissionChanged":
      return [change.change.value.userId];
    case "memberLeft":
    case "memberJoined":
      return [change.actorUserId];
    default:
      return [];
  }
}

/** Printable text without control characters, which separate the parts of keys. */
function isId(text: string): boolean {
  if (text.length === 0 || text.length > ID_CHARACTERS_MAX) return false;
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) <= 0x20) return false;
  return true;
}
