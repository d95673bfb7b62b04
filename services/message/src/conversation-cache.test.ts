import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ConversationKind,
  EncryptionMode,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { createConversationCache } from "./conversation-cache.ts";
import type { ConversationState } from "./domain/conversation.ts";

function stateOf(conversationId: string, members = 2): ConversationState {
  return {
    conversationId,
    kind: ConversationKind.GROUP,
    encryptionMode: EncryptionMode.SERVER_READABLE,
    directUserIds: [],
    lastSeq: 1,
    lastMessageId: 1n,
    lastProcessedOffset: 1,
    lastAppendTimeMs: 1,
    unreadOrdinal: 0,
    membershipVersion: 1,
    members: new Map(
      Array.from({ length: members }, (_, at) => [`user-${at}`, { joinedSeq: 1, maySend: true }]),
    ),
  };
}

describe("the conversation cache", () => {
  it("forgets what was not used for longest", () => {
    const cache = createConversationCache({ conversationsMax: 2, bytesMax: 1e6 });
    for (const id of ["a", "b"]) cache.set(0, stateOf(id));
    cache.get("a");
    cache.set(0, stateOf("c"));
    assert.equal(cache.get("b"), undefined);
    assert.ok(cache.get("a") && cache.get("c"));
  });

  it("counts bytes, and large groups for more", () => {
    const cache = createConversationCache({ conversationsMax: 100, bytesMax: 100_000 });
    for (let at = 0; at < 50; at++) cache.set(0, stateOf(`small-${at}`));
    assert.equal(cache.size, 50);
    cache.set(0, stateOf("large", 500));
    assert.ok(cache.size < 30, `${cache.size} are left`);
    assert.ok(cache.bytes <= 100_000);
    cache.set(0, stateOf("large", 2));
    assert.ok(cache.bytes < 30_000, "a smaller state takes less");
  });

  it("keeps the one conversation that is larger than everything", () => {
    const cache = createConversationCache({ conversationsMax: 10, bytesMax: 1000 });
    cache.set(0, stateOf("large", 500));
    assert.ok(cache.get("large"));
  });

  it("drops a partition whole", () => {
    const cache = createConversationCache({ conversationsMax: 10, bytesMax: 1e6 });
    cache.set(1, stateOf("a"));
    cache.set(2, stateOf("b"));
    cache.dropPartition(1);
    assert.equal(cache.get("a"), undefined);
    assert.ok(cache.get("b"));
    cache.dropPartition(2);
    assert.deepEqual([cache.size, cache.bytes], [0, 0]);
  });
});
