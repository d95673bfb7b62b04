/**
 * What has been written and is not yet in LMDB.
 *
 * LMDB's promise of a write resolves after its disk sync (measured with strace and a delayed `fdatasync`),
 * and a write transaction costs 0.3 to 0.5 ms of CPU however little is in it. So writes are collected in
 * memory, readable at once, and committed together; the log makes them durable meanwhile. Memory holds two
 * layers at most: the one that collects and the one that is being committed.
 */
import {
  type ConversationState,
  noReceipt,
  type RaisedReceipt,
  raiseReceipt,
  type StoredReceipt,
  type StoredRow,
} from "../domain/conversation.ts";
import { type DedupeEntry, dedupeKeyText } from "../domain/dedupe.ts";
import type { Checkpoint, ConversationWrite, StoreBatch, StoredParkedRecord } from "../ports.ts";

/** What one conversation has in a layer. */
export type LayerConversation = {
  state: ConversationState | undefined;
  readonly rows: Map<number, StoredRow>;
  /** What became of members: true for present with the value in `state`, false for removed. */
  readonly members: Map<string, boolean>;
  readonly windows: ConversationWrite["closedWindows"][number][];
  readonly receipts: Map<string, StoredReceipt>;
};

/** Writes in the order in which they were made, the later one of the same key in place of the earlier. */
export class Layer {
  readonly conversations = new Map<string, LayerConversation>();
  readonly dedupe = new Map<string, DedupeEntry>();
  readonly checkpoints = new Map<number, Checkpoint>();
  readonly parked: StoredParkedRecord[] = [];
  /** Roughly what the layer takes in memory. */
  bytes = 0;
  readonly durable = Promise.withResolvers<void>();

  constructor() {
    // Nobody may be waiting when the store is disposed of.
    this.durable.promise.catch(() => undefined);
  }

  get isEmpty(): boolean {
    return this.conversations.size === 0 && this.checkpoints.size === 0 && this.parked.length === 0;
  }

  conversation(conversationId: string): LayerConversation {
    let found = this.conversations.get(conversationId);
    if (found === undefined) {
      found = {
        state: undefined,
        rows: new Map(),
        members: new Map(),
        windows: [],
        receipts: new Map(),
      };
      this.conversations.set(conversationId, found);
      this.bytes += CONVERSATION_BYTES;
    }
    return found;
  }

  addCheckpoint(
    { partition, checkpoint, parked }: StoreBatch,
    known: Checkpoint | undefined,
  ): void {
    this.parked.push(...parked);
    this.bytes += parked.length * ENTRY_BYTES;
    const replayOffset = Math.max(checkpoint.replayOffset, known?.replayOffset ?? 0);
    const endOffset = Math.max(checkpoint.endOffset, known?.endOffset ?? 0);
    this.checkpoints.set(partition, { replayOffset, endOffset });
  }

  addConversation(write: ConversationWrite): void {
    const { state } = write;
    const held = this.conversation(state.conversationId);
    held.state = state;
    for (const row of write.rows) {
      held.rows.set(row.seq, row);
      this.bytes += row.event.byteLength + ENTRY_BYTES;
    }
    for (const userId of write.membersPut) held.members.set(userId, true);
    for (const userId of write.membersRemoved) held.members.set(userId, false);
    held.windows.push(...write.closedWindows);
    for (const entry of write.dedupe) this.dedupe.set(dedupeKeyText(entry.key), entry);
    const entries = write.dedupe.length + write.membersPut.length + write.membersRemoved.length;
    this.bytes += (entries + write.closedWindows.length) * ENTRY_BYTES;
  }

  /** Raises positions above `known`, what is stored. */
  raiseReceipt(
    conversationId: string,
    receipt: StoredReceipt,
    known: StoredReceipt | undefined,
  ): RaisedReceipt {
    const before = known ?? noReceipt(receipt.userId);
    const after = raiseReceipt(before, receipt);
    if (after === before) return { receipt: before, deliveredGrew: false };
    this.conversation(conversationId).receipts.set(receipt.userId, after);
    this.bytes += ENTRY_BYTES;
    return { receipt: after, deliveredGrew: after.deliveredSeq > before.deliveredSeq };
  }
}

/** Objects, strings, map slots: measured at 250 to 400 bytes for each of these. */
const ENTRY_BYTES = 400;
const CONVERSATION_BYTES = 800;
