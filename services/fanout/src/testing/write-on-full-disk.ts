/**
 * A process that writes inboxes to a disk that becomes full: its parent starts it with a limit to the size
 * of files, and lifts that when told of the problem, unless it wants to see how the store ends.
 */
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { changeMembers, NO_MEMBERS } from "../domain/conversation.ts";
import { createLmdbInboxStore } from "../embedded/lmdb-inbox-store.ts";

export type FullDiskReport =
  | { readonly event: "problem" }
  | {
      readonly event: "ended";
      readonly problems: number;
      readonly recoveries: number;
      readonly unhandled: number;
      /** Writes in all, those that became durable, and those that the closed store gave up. */
      readonly written: number;
      readonly durable: number;
      readonly givenUp: number;
      /** Whether the store said that it was full before it had taken this many rows. */
      readonly wasFull: boolean;
    };

const [directory = "", mode = "recover"] = process.argv.slice(2);
const counts = { problems: 0, recoveries: 0, unhandled: 0, written: 0, durable: 0, givenUp: 0 };
let wasFull = false;
const recovered = Promise.withResolvers<void>();
const failed = Promise.withResolvers<void>();
process.on("unhandledRejection", () => counts.unhandled++);
const store = createLmdbInboxStore({
  directory,
  membershipsCachedMax: 1000,
  commitDelayMs: 1,
  onProblem() {
    counts.problems++;
    failed.resolve();
  },
  onRecovered() {
    counts.recoveries++;
    recovered.resolve();
  },
});

function write(): Promise<void> {
  const number = ++counts.written;
  const conversationId = `conversation ${number}`;
  const seq = BigInt(number);
  const head = { seq, messageId: seq, unreadOrdinal: seq, offset: seq };
  const members = changeMembers(NO_MEMBERS, { version: 1n, seq: 1n, joined: ["ann"], left: [] });
  const { visible, durable } = store.write({
    conversationId,
    conversation: { conversationId, kind: ConversationKind.GROUP, head, members },
    rows: [{ kind: "joined", userId: "ann", seq: 1n, unreadOrdinal: 0n }],
  });
  durable.then(
    () => counts.durable++,
    () => counts.givenUp++,
  );
  return visible;
}

/** Writes until the disk is full, and then until the store is. */
while (counts.problems === 0) {
  for (let index = 0; index < 100; index++) await write();
  await new Promise((resolve) => setTimeout(resolve, 1));
}
await failed.promise;
let waiting: Promise<void> = Promise.resolve();
while (!store.full) waiting = write();
wasFull = store.full;
// Time for some more attempts: the first pauses are below 0.1 s and 0.2 s.
await new Promise((resolve) => setTimeout(resolve, 500));
process.send?.({ event: "problem" } satisfies FullDiskReport);
if (mode === "recover") {
  await recovered.promise;
  await waiting;
  await store.write({ conversationId: "conversation 1", rows: [] }).durable;
}
await store[Symbol.asyncDispose]();
await new Promise((resolve) => setImmediate(resolve));
process.send?.({ event: "ended", ...counts, wasFull } satisfies FullDiskReport);
process.disconnect?.();
