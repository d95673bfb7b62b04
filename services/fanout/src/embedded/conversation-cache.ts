/** The conversations that were used last, with their members. */
import type { StoredConversation } from "./inbox-encoding.ts";

export type ConversationCache = {
  get(conversationId: string): StoredConversation | undefined;
  set(stored: StoredConversation): void;
  /** Memberships held now. */
  readonly membershipCount: number;
};

/** Creates a cache of about `membershipsMax` memberships; what was not used for longest goes first. */
export function createConversationCache(membershipsMax: number): ConversationCache {
  // Insertion order is order of use.
  const entries = new Map<string, StoredConversation>();
  let membershipCount = 0;

  const drop = (stored: StoredConversation) => {
    entries.delete(stored.conversation.conversationId);
    membershipCount -= costOf(stored);
  };

  return {
    get(conversationId) {
      const stored = entries.get(conversationId);
      if (stored === undefined) return undefined;
      entries.delete(conversationId);
      entries.set(conversationId, stored);
      return stored;
    },
    set(stored) {
      const { conversationId } = stored.conversation;
      const known = entries.get(conversationId);
      if (known !== undefined) drop(known);
      entries.set(conversationId, stored);
      membershipCount += costOf(stored);
      for (const oldest of entries.values()) {
        if (membershipCount <= membershipsMax) break;
        drop(oldest);
      }
    },
    get membershipCount() {
      return membershipCount;
    },
  };
}

/** The conversation itself weighs about as much as two of its members. */
function costOf({ conversation }: StoredConversation): number {
  const { present, departed } = conversation.members;
  return 2 + present.length + departed.length;
}
