import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ConversationKind,
  EncryptionMode,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { ConversationState, Member } from "./conversation.ts";
import { clipRanges, readableRanges } from "./window.ts";

function stateOf(lastSeq: number, members: Record<string, Member>): ConversationState {
  return {
    conversationId: "c",
    kind: ConversationKind.GROUP,
    encryptionMode: EncryptionMode.SERVER_READABLE,
    directUserIds: [],
    lastSeq,
    lastMessageId: 0n,
    lastProcessedOffset: 0,
    lastAppendTimeMs: 0,
    unreadOrdinal: 0,
    membershipVersion: 1,
    members: new Map(Object.entries(members)),
  };
}

const range = (firstSeq: number, lastSeq: number) => ({ firstSeq, lastSeq });

describe("readableRanges", () => {
  it("is every membership, the present one to the newest entry", () => {
    const state = stateOf(20, { ben: { joinedSeq: 15, maySend: false } });
    const closed = [
      { userId: "ben", joinedSeq: 9, leftSeq: 11 },
      { userId: "ben", joinedSeq: 2, leftSeq: 4 },
    ];
    assert.deepEqual(readableRanges(state, "ben", closed), [
      range(2, 4),
      range(9, 11),
      range(15, 20),
    ]);
    assert.deepEqual(readableRanges(state, "cem", []), []);
  });

  it("knows nothing behind the newest entry, even of a window that was written ahead of the head", () => {
    const state = stateOf(5, {});
    const closed = [
      { userId: "ben", joinedSeq: 4, leftSeq: 9 },
      { userId: "ben", joinedSeq: 12, leftSeq: 14 },
    ];
    assert.deepEqual(readableRanges(state, "ben", closed), [range(4, 5)]);
  });
});

describe("clipRanges", () => {
  it("keeps what lies inside", () => {
    const ranges = [range(2, 4), range(9, 11), range(15, 20)];
    assert.deepEqual(clipRanges(ranges, 4, 15), [range(4, 4), range(9, 11), range(15, 15)]);
    assert.deepEqual(clipRanges(ranges, 5, 8), []);
    assert.deepEqual(clipRanges(ranges, 10, 9), []);
  });
});
