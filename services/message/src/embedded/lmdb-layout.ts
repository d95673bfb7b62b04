/**
 * How keys and values look in LMDB. Numbers are big-endian, so that keys sort by them.
 *
 *   rows         conversation(16) seq(8)                     → row, below
 *   heads        conversation(16)                            → head, below
 *   members      conversation(16) user(utf-8)                → joined seq(8) may send(1)
 *   windows      conversation(16) user length(2) user seq(8) → left seq(8)
 *   receipts     conversation(16) user(utf-8)                → delivered seq(8) read seq(8) update time(8)
 *   dedupe       conversation(16) hash(16)                   → offset(8) seq(8) message id(8) append time(8)
 *   dedupe-times append time(8) unique(8)                    → dedupe keys, 32 bytes each
 *   checkpoints  partition(4)                                → replay offset(8) end offset(8)
 *   parked       topic length(2) topic partition(4) offset(8)→ JSON
 *   meta         text                                        → JSON
 */
import { hash } from "node:crypto";
import { uuidToBytes } from "@parley/platform/ids";
import type {
  ClosedWindow,
  ConversationState,
  Member,
  StoredReceipt,
  StoredRow,
} from "../domain/conversation.ts";
import { type DedupeEntry, type DedupeKey, dedupeKeyText } from "../domain/dedupe.ts";
import type { Checkpoint } from "../ports.ts";

const CONVERSATION_BYTES = 16;
export const DEDUPE_KEY_BYTES = 32;
/** Every value begins with its layout, so that a later one can be told apart. */
const LAYOUT = 1;

export function rowKey(conversation: Uint8Array, seq: number): Buffer {
  const key = Buffer.allocUnsafe(CONVERSATION_BYTES + 8);
  key.set(conversation);
  writeSafe(key, seq, CONVERSATION_BYTES);
  return key;
}

export function conversationKey(conversationId: string): Buffer {
  return Buffer.from(uuidToBytes(conversationId));
}

export function personKey(conversation: Uint8Array, userId: string): Buffer {
  return Buffer.concat([conversation, Buffer.from(userId, "utf8")]);
}

export function userIdOfPersonKey(key: Uint8Array): string {
  return Buffer.from(key).toString("utf8", CONVERSATION_BYTES);
}

/** Where the windows of a person begin; with a seq, the key of one. */
export function windowKey(conversation: Uint8Array, userId: string, joinedSeq?: number): Buffer {
  const user = Buffer.from(userId, "utf8");
  const length = Buffer.allocUnsafe(2);
  length.writeUInt16BE(user.byteLength);
  if (joinedSeq === undefined) return Buffer.concat([conversation, length, user]);
  const seq = Buffer.allocUnsafe(8);
  writeSafe(seq, joinedSeq, 0);
  return Buffer.concat([conversation, length, user, seq]);
}

/** 128 bits of SHA-256 stand for user, device and client id: nobody finds two alike by accident. */
export function dedupeKey(key: DedupeKey): Buffer {
  const digest = hash("sha256", dedupeKeyText(key), "buffer");
  const bytes = Buffer.allocUnsafe(DEDUPE_KEY_BYTES);
  bytes.set(uuidToBytes(key.conversationId));
  digest.copy(bytes, CONVERSATION_BYTES, 0, DEDUPE_KEY_BYTES - CONVERSATION_BYTES);
  return bytes;
}

export function partitionKey(partition: number): Buffer {
  const key = Buffer.allocUnsafe(4);
  key.writeUInt32BE(partition);
  return key;
}

export function parkedKey(topic: string, partition: number, offset: number): Buffer {
  const name = Buffer.from(topic, "utf8");
  const key = Buffer.allocUnsafe(2 + name.byteLength + 12);
  key.writeUInt16BE(name.byteLength);
  name.copy(key, 2);
  key.writeUInt32BE(partition, 2 + name.byteLength);
  writeSafe(key, offset, 6 + name.byteLength);
  return key;
}

export function timeKey(timeMs: number, unique: bigint): Buffer {
  const key = Buffer.allocUnsafe(16);
  writeSafe(key, Math.max(0, Math.floor(timeMs)), 0);
  key.writeBigUInt64BE(unique, 8);
  return key;
}

const ROW_HEADER_BYTES = 1 + 8 * 6 + 2;

/** `layout(1) seq(8) message id(8) offset(8) append time(8) unread(8) version(8) sender length(2) sender event` */
export function encodeRow(row: StoredRow): Buffer {
  const senderBytes = Buffer.byteLength(row.senderUserId, "utf8");
  const value = Buffer.allocUnsafe(ROW_HEADER_BYTES + senderBytes + row.event.byteLength);
  value[0] = LAYOUT;
  writeSafe(value, row.seq, 1);
  value.writeBigUInt64BE(row.messageId, 9);
  writeSafe(value, row.offset, 17);
  value.writeDoubleBE(row.appendTimeMs, 25);
  writeSafe(value, row.unreadOrdinal, 33);
  writeSafe(value, row.membershipVersion, 41);
  value.writeUInt16BE(senderBytes, 49);
  value.write(row.senderUserId, ROW_HEADER_BYTES, "utf8");
  value.set(row.event, ROW_HEADER_BYTES + senderBytes);
  return value;
}

export function decodeRow(value: Buffer): StoredRow {
  checkLayout(value);
  const eventStart = ROW_HEADER_BYTES + value.readUInt16BE(49);
  return {
    seq: readSafe(value, 1),
    messageId: value.readBigUInt64BE(9),
    offset: readSafe(value, 17),
    appendTimeMs: value.readDoubleBE(25),
    unreadOrdinal: readSafe(value, 33),
    membershipVersion: readSafe(value, 41),
    senderUserId: value.toString("utf8", ROW_HEADER_BYTES, eventStart),
    event: value.subarray(eventStart),
  };
}

const HEAD_BYTES = 1 + 2 + 8 * 6;

/** `layout(1) kind(1) encryption(1) seq id offset time unread version (8 each)`, then direct ids, `\n` between. */
export function encodeHead(state: ConversationState): Buffer {
  const direct = Buffer.from(state.directUserIds.join("\n"), "utf8");
  const value = Buffer.allocUnsafe(HEAD_BYTES + direct.byteLength);
  value[0] = LAYOUT;
  value[1] = state.kind;
  value[2] = state.encryptionMode;
  writeSafe(value, state.lastSeq, 3);
  value.writeBigUInt64BE(state.lastMessageId, 11);
  writeSafe(value, state.lastProcessedOffset, 19);
  value.writeDoubleBE(state.lastAppendTimeMs, 27);
  writeSafe(value, state.unreadOrdinal, 35);
  writeSafe(value, state.membershipVersion, 43);
  direct.copy(value, HEAD_BYTES);
  return value;
}

export function decodeHead(
  conversationId: string,
  value: Buffer,
  members: ReadonlyMap<string, Member>,
): ConversationState {
  checkLayout(value);
  return {
    conversationId,
    kind: value.readUInt8(1) as ConversationState["kind"],
    encryptionMode: value.readUInt8(2) as ConversationState["encryptionMode"],
    directUserIds:
      value.byteLength === HEAD_BYTES ? [] : value.toString("utf8", HEAD_BYTES).split("\n"),
    lastSeq: readSafe(value, 3),
    lastMessageId: value.readBigUInt64BE(11),
    lastProcessedOffset: readSafe(value, 19),
    lastAppendTimeMs: value.readDoubleBE(27),
    unreadOrdinal: readSafe(value, 35),
    membershipVersion: readSafe(value, 43),
    members,
  };
}

export function encodeMember(member: Member): Buffer {
  const value = Buffer.allocUnsafe(9);
  writeSafe(value, member.joinedSeq, 0);
  value[8] = member.maySend ? 1 : 0;
  return value;
}

export function decodeMember(value: Buffer): Member {
  return { joinedSeq: readSafe(value, 0), maySend: value[8] === 1 };
}

export function encodeWindow(window: ClosedWindow): Buffer {
  const value = Buffer.allocUnsafe(8);
  writeSafe(value, window.leftSeq, 0);
  return value;
}

export function decodeWindow(userId: string, key: Buffer, value: Buffer): ClosedWindow {
  const joinedSeq = readSafe(key, key.byteLength - 8);
  return { userId, joinedSeq, leftSeq: readSafe(value, 0) };
}

export function encodeReceipt(receipt: StoredReceipt): Buffer {
  const value = Buffer.allocUnsafe(24);
  writeSafe(value, receipt.deliveredSeq, 0);
  writeSafe(value, receipt.readSeq, 8);
  value.writeDoubleBE(receipt.updateTimeMs, 16);
  return value;
}

export function decodeReceipt(userId: string, value: Buffer): StoredReceipt {
  return {
    userId,
    deliveredSeq: readSafe(value, 0),
    readSeq: readSafe(value, 8),
    updateTimeMs: value.readDoubleBE(16),
  };
}

export function encodeDedupe(entry: DedupeEntry): Buffer {
  const value = Buffer.allocUnsafe(32);
  writeSafe(value, entry.offset, 0);
  writeSafe(value, entry.seq, 8);
  value.writeBigUInt64BE(entry.messageId, 16);
  value.writeDoubleBE(entry.appendTimeMs, 24);
  return value;
}

export function decodeDedupe(key: DedupeKey, value: Buffer): DedupeEntry {
  return {
    key,
    offset: readSafe(value, 0),
    seq: readSafe(value, 8),
    messageId: value.readBigUInt64BE(16),
    appendTimeMs: appendTimeOfDedupe(value),
  };
}

export function appendTimeOfDedupe(value: Buffer): number {
  return value.readDoubleBE(24);
}

export function encodeCheckpoint(checkpoint: Checkpoint): Buffer {
  const value = Buffer.allocUnsafe(16);
  writeSafe(value, checkpoint.replayOffset, 0);
  writeSafe(value, checkpoint.endOffset, 8);
  return value;
}

export function decodeCheckpoint(value: Buffer): Checkpoint {
  return { replayOffset: readSafe(value, 0), endOffset: readSafe(value, 8) };
}

export function readSafe(value: Buffer, at: number): number {
  return value.readUInt32BE(at) * 0x1_0000_0000 + value.readUInt32BE(at + 4);
}

function writeSafe(value: Buffer, number: number, at: number): void {
  value.writeUInt32BE(Math.floor(number / 0x1_0000_0000), at);
  value.writeUInt32BE(number % 0x1_0000_0000, at + 4);
}

function checkLayout(value: Buffer): void {
  if (value[0] !== LAYOUT) throw new Error(`a value of layout ${value[0]} is not known here`);
}
