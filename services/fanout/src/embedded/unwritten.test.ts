import assert from "node:assert/strict";
import { test } from "node:test";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { NO_HEAD, NO_MEMBERS } from "../domain/conversation.ts";
import { createUnwritten, putBack, putConversation, putRow } from "./unwritten.ts";

const conversation = (conversationId: string, touch: bigint) => ({
  touch,
  conversation: {
    ...{ conversationId, kind: ConversationKind.GROUP, head: NO_HEAD, members: NO_MEMBERS },
  },
});
const row = (touch: bigint) => ({
  touch,
  row: {
    ...{ firstSeq: 1n, leftSeq: 0n, leftMessageId: 0n },
    ...{ leftUnreadOrdinal: 0n, readSeq: touch, readUnreadOrdinal: 0n },
  },
});

test("the newest of each is kept, and counted once", () => {
  const unwritten = createUnwritten();
  for (const touch of [1n, 2n]) {
    putConversation(unwritten, conversation("a", touch), touch === 1n);
    putRow(unwritten, "ann", "a", row(touch));
  }
  assert.equal(unwritten.size, 2);
  assert.equal(unwritten.conversations.get("a")?.touch, 2n);
  assert.equal(unwritten.rows.get("ann")?.get("a")?.touch, 2n);
  assert.ok(unwritten.membersChanged.has("a"), "a later write without members keeps the earlier's");
});

test("what could not be written goes under what came since, and becomes durable with it", async () => {
  const failed = createUnwritten();
  putConversation(failed, conversation("a", 1n), true);
  putConversation(failed, conversation("b", 2n), true);
  putRow(failed, "ann", "a", row(1n));
  putRow(failed, "bob", "b", row(2n));
  failed.places.set(1, { replayOffset: 1, headsEndOffset: 1 });
  failed.places.set(2, { replayOffset: 2, headsEndOffset: 2 });
  const later = createUnwritten();
  later.places.set(1, { replayOffset: 3, headsEndOffset: 3 });
  putConversation(later, conversation("a", 3n), false);
  putRow(later, "ann", "a", row(3n));
  putBack(later, failed);
  assert.equal(later.size, 4);
  assert.equal(later.conversations.get("a")?.touch, 3n);
  assert.equal(later.conversations.get("b")?.touch, 2n);
  assert.deepEqual([...later.membersChanged].toSorted(), ["a", "b"]);
  assert.equal(later.rows.get("ann")?.get("a")?.touch, 3n);
  assert.equal(later.rows.get("bob")?.get("b")?.touch, 2n);
  assert.equal(later.places.get(1)?.replayOffset, 3);
  assert.equal(later.places.get(2)?.replayOffset, 2);
  later.durable.resolve();
  await failed.durable.promise;
});
