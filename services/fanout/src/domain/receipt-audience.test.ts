import assert from "node:assert/strict";
import { test } from "node:test";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { type Conversation, changeMembers, NO_HEAD, NO_MEMBERS } from "./conversation.ts";
import { RECEIPT_MEMBERS_MAX, receiptAudience } from "./receipt-audience.ts";

function conversationOf(kind: ConversationKind, count: number): Conversation {
  const joined = Array.from({ length: count }, (_, index) => `u${index}`);
  const members = changeMembers(NO_MEMBERS, { version: 1n, seq: 1n, joined, left: [] });
  return { conversationId: "c", kind, head: NO_HEAD, members };
}

const direct = conversationOf(ConversationKind.DIRECT, 2);
const small = conversationOf(ConversationKind.GROUP, RECEIPT_MEMBERS_MAX);
const large = conversationOf(ConversationKind.GROUP, RECEIPT_MEMBERS_MAX + 1);

const cases = [
  ["the other person of a pair", direct, "u0", "", { kind: "direct", userIds: ["u1"] }],
  ["everybody in a small group", small, "u0", "u1", { kind: "members" }],
  ["the author in a large group", large, "u0", "u1", { kind: "author", authorUserId: "u1" }],
  ["nobody when the reader is the author", large, "u0", "u0", { kind: "own" }],
  ["nobody when the author is not known", large, "u0", "", { kind: "own" }],
  ["nobody when the author has left", large, "u0", "gone", { kind: "own" }],
  ["nobody when the reader has left", small, "gone", "u1", { kind: "own" }],
  ["nobody in an unknown conversation", undefined, "u0", "u1", { kind: "own" }],
] as const;

for (const [name, conversation, userId, authorUserId, expected] of cases) {
  test(`a receipt is for ${name}`, () => {
    assert.deepEqual(receiptAudience(conversation, { userId, authorUserId }), expected);
  });
}
