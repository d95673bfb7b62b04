/** The conversations that an instance is applying, in bounded memory. */
import type { ConversationState } from "./domain/conversation.ts";

export type ConversationCache = {
  /** Looks and counts as use. */
  get(conversationId: string): ConversationState | undefined;
  /** Only the consumer of the partition puts states in, after their writes are readable. */
  set(partition: number, state: ConversationState): void;
  /** Forgets what belongs to a partition: somebody else moves it on from here. */
  dropPartition(partition: number): void;
  readonly size: number;
  readonly bytes: number;
};

export type ConversationCacheOptions = {
  readonly conversationsMax: number;
  readonly bytesMax: number;
};

type Held = {
  readonly partition: number;
  readonly state: ConversationState;
  readonly bytes: number;
};

/** A state without members; measured at 600 bytes with its strings and its place in the map. */
const STATE_BYTES = 600;
/** One member: a string of 36 characters, an object, a slot of the map. */
const MEMBER_BYTES = 160;

/** Creates the cache; the conversation that was not used for longest is forgotten first. */
export function createConversationCache(options: ConversationCacheOptions): ConversationCache {
  const { conversationsMax, bytesMax } = options;
  // A Map iterates in insertion order; taking a key out and putting it back makes the first the oldest.
  const held = new Map<string, Held>();
  let bytes = 0;

  const remove = (conversationId: string) => {
    const found = held.get(conversationId);
    if (found === undefined) return;
    held.delete(conversationId);
    bytes -= found.bytes;
  };

  return {
    get(conversationId) {
      const found = held.get(conversationId);
      if (found === undefined) return undefined;
      held.delete(conversationId);
      held.set(conversationId, found);
      return found.state;
    },
    set(partition, state) {
      const { conversationId } = state;
      remove(conversationId);
      const entry = { partition, state, bytes: STATE_BYTES + state.members.size * MEMBER_BYTES };
      held.set(conversationId, entry);
      bytes += entry.bytes;
      while ((held.size > conversationsMax || bytes > bytesMax) && held.size > 1) {
        remove(held.keys().next().value as string);
      }
    },
    dropPartition(partition) {
      for (const [conversationId, entry] of held) {
        if (entry.partition === partition) remove(conversationId);
      }
    },
    get size() {
      return held.size;
    },
    get bytes() {
      return bytes;
    },
  };
}
