/**
 * How inboxes lie on disk. All numbers are little endian.
 *
 * ```
 * heads    conversation id  →  kind 1 | touch 8 | seq 8 | message id 8 | unread ordinal 8 | offset 8
 * members  conversation id  →  version 8 | changed seq 8 | present 4 | departed 4 | membership*
 *                              membership: first seq 8 | left seq 8 | id length 1 | id
 * rows     [user id, conversation id]
 *                           →  touch 8 | first seq 8 | left seq 8 | left message id 8
 *                              | left unread ordinal 8 | read seq 8 | read unread ordinal 8
 * places   partition        →  replay offset 8 | heads' end offset 8
 * meta     "identity"       →  JSON     "touch" → touch 8
 * ```
 *
 * `touch` numbers the writes of this store; it is how a reader finds out what has moved since.
 */
import type { Conversation, Head, Members, Membership } from "../domain/conversation.ts";
import type { InboxRow } from "../domain/inbox-row.ts";
import type { LogPlace } from "../ports.ts";

export type StoredHead = {
  readonly kind: Conversation["kind"];
  readonly touch: bigint;
  readonly head: Head;
};

export type StoredConversation = {
  readonly touch: bigint;
  readonly conversation: Conversation;
};

export type StoredRow = { readonly touch: bigint; readonly row: InboxRow };

const HEAD_BYTES = 41;
const MEMBERS_HEADER_BYTES = 24;
const MEMBERSHIP_HEADER_BYTES = 17;
const ROW_BYTES = 56;

/** Ids are UUIDs; one byte holds the length of anything that could stand in for one. */
export const ID_BYTES_MAX = 255;

export function encodeHead({ touch, conversation }: StoredConversation): Buffer {
  const { kind, head } = conversation;
  const bytes = Buffer.allocUnsafe(HEAD_BYTES);
  bytes.writeUInt8(kind, 0);
  bytes.writeBigUInt64LE(touch, 1);
  bytes.writeBigUInt64LE(head.seq, 9);
  bytes.writeBigUInt64LE(head.messageId, 17);
  bytes.writeBigUInt64LE(head.unreadOrdinal, 25);
  bytes.writeBigUInt64LE(head.offset, 33);
  return bytes;
}

export function decodeHead(bytes: Buffer): StoredHead {
  return {
    kind: bytes.readUInt8(0) as Conversation["kind"],
    touch: bytes.readBigUInt64LE(1),
    head: {
      seq: bytes.readBigUInt64LE(9),
      messageId: bytes.readBigUInt64LE(17),
      unreadOrdinal: bytes.readBigUInt64LE(25),
      offset: bytes.readBigUInt64LE(33),
    },
  };
}

export function encodeMembers(members: Members): Buffer {
  const { version, changedSeq, present, departed } = members;
  const memberships = [...present, ...departed];
  const ids = memberships.map(({ userId }) => Buffer.from(userId));
  const size = ids.reduce((sum, id) => sum + MEMBERSHIP_HEADER_BYTES + id.length, 0);
  const bytes = Buffer.allocUnsafe(MEMBERS_HEADER_BYTES + size);
  bytes.writeBigUInt64LE(version, 0);
  bytes.writeBigUInt64LE(changedSeq, 8);
  bytes.writeUInt32LE(present.length, 16);
  bytes.writeUInt32LE(departed.length, 20);
  let at = MEMBERS_HEADER_BYTES;
  for (const [index, { firstSeq, leftSeq }] of memberships.entries()) {
    const id = ids[index] ?? Buffer.alloc(0);
    if (id.length > ID_BYTES_MAX) throw new RangeError(`An id has ${id.length} bytes.`);
    bytes.writeBigUInt64LE(firstSeq, at);
    bytes.writeBigUInt64LE(leftSeq, at + 8);
    bytes.writeUInt8(id.length, at + 16);
    id.copy(bytes, at + MEMBERSHIP_HEADER_BYTES);
    at += MEMBERSHIP_HEADER_BYTES + id.length;
  }
  return bytes;
}

export function decodeMembers(bytes: Buffer): Members {
  const presentCount = bytes.readUInt32LE(16);
  const count = presentCount + bytes.readUInt32LE(20);
  const memberships: Membership[] = [];
  let at = MEMBERS_HEADER_BYTES;
  for (let index = 0; index < count; index++) {
    const idStart = at + MEMBERSHIP_HEADER_BYTES;
    const idEnd = idStart + bytes.readUInt8(at + 16);
    memberships.push({
      userId: bytes.toString("utf8", idStart, idEnd),
      firstSeq: bytes.readBigUInt64LE(at),
      leftSeq: bytes.readBigUInt64LE(at + 8),
    });
    at = idEnd;
  }
  const present = memberships.slice(0, presentCount);
  return {
    version: bytes.readBigUInt64LE(0),
    changedSeq: bytes.readBigUInt64LE(8),
    present,
    departed: memberships.slice(presentCount),
    userIds: present.map(({ userId }) => userId),
  };
}

export function encodeRow({ touch, row }: StoredRow): Buffer {
  const bytes = Buffer.allocUnsafe(ROW_BYTES);
  bytes.writeBigUInt64LE(touch, 0);
  bytes.writeBigUInt64LE(row.firstSeq, 8);
  bytes.writeBigUInt64LE(row.leftSeq, 16);
  bytes.writeBigUInt64LE(row.leftMessageId, 24);
  bytes.writeBigUInt64LE(row.leftUnreadOrdinal, 32);
  bytes.writeBigUInt64LE(row.readSeq, 40);
  bytes.writeBigUInt64LE(row.readUnreadOrdinal, 48);
  return bytes;
}

export function decodeRow(bytes: Buffer): StoredRow {
  return {
    touch: bytes.readBigUInt64LE(0),
    row: {
      firstSeq: bytes.readBigUInt64LE(8),
      leftSeq: bytes.readBigUInt64LE(16),
      leftMessageId: bytes.readBigUInt64LE(24),
      leftUnreadOrdinal: bytes.readBigUInt64LE(32),
      readSeq: bytes.readBigUInt64LE(40),
      readUnreadOrdinal: bytes.readBigUInt64LE(48),
    },
  };
}

export function encodePlace({ replayOffset, headsEndOffset }: LogPlace): Buffer {
  const bytes = Buffer.allocUnsafe(16);
  bytes.writeBigUInt64LE(BigInt(replayOffset), 0);
  bytes.writeBigUInt64LE(BigInt(headsEndOffset), 8);
  return bytes;
}

export function decodePlace(bytes: Buffer): LogPlace {
  return {
    replayOffset: Number(bytes.readBigUInt64LE(0)),
    headsEndOffset: Number(bytes.readBigUInt64LE(8)),
  };
}

export function encodeTouch(touch: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64LE(touch);
  return bytes;
}
