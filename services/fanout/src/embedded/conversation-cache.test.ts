import assert from "node:assert/strict";
import { test } from "node:test";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { changeMembers, NO_HEAD, NO_MEMBERS } from "../domain/conversation.ts";
import { createConversationCache } from "./conversation-cache.ts";

function stored(conversationId: string, memberCount: number) {
  const joined = Array.from({ length: memberCount }, (_, index) => `u${index}`);
  const members = changeMembers(NO_MEMBERS, { version: 1n, seq: 1n, joined, left: [] });
  const kind = ConversationKind.GROUP;
  return { touch: 1n, conversation: { conversationId, kind, head: NO_HEAD, members } };
}

test("what was not used for longest goes first", () => {
  const cache = createConversationCache(30);
  for (const id of ["a", "b", "c"]) cache.set(stored(id, 8));
  cache.get("a");
  cache.set(stored("d", 8));
  assert.equal(cache.get("b"), undefined);
  assert.equal(cache.get("a")?.conversation.conversationId, "a");
  assert.equal(cache.membershipCount, 30);
});

test("a conversation that grows is counted at its present size", () => {
  const cache = createConversationCache(100);
  cache.set(stored("a", 10));
  cache.set(stored("a", 20));
  assert.equal(cache.membershipCount, 22);
});

test("one that is larger than everything is not kept", () => {
  const cache = createConversationCache(10);
  cache.set(stored("a", 100));
  assert.equal(cache.get("a"), undefined);
  assert.equal(cache.membershipCount, 0);
});
