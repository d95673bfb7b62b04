/** A process that writes heads for ever, and says after each which one is durable: made to be killed. */
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { changeMembers, NO_MEMBERS } from "../domain/conversation.ts";
import { createLmdbInboxStore } from "../embedded/lmdb-inbox-store.ts";

const directory = process.argv[2] ?? "";
const store = createLmdbInboxStore({ directory, membershipsCachedMax: 1000, commitDelayMs: 1 });
const conversationId = "conversation";
const joined = ["ann", "bob"];
const members = changeMembers(NO_MEMBERS, { version: 1n, seq: 1n, joined, left: [] });

for (let seq = 1n; ; seq++) {
  const head = { seq, messageId: seq, unreadOrdinal: seq, offset: seq };
  const conversation = { conversationId, kind: ConversationKind.GROUP, head, members };
  const rows = [
    { kind: "joined", userId: "ann", seq: 1n, unreadOrdinal: 0n },
    { kind: "read", userId: "ann", readSeq: seq, readUnreadOrdinal: seq },
  ] as const;
  await store.write({ conversationId, conversation, rows }).durable;
  process.send?.(Number(seq));
}
