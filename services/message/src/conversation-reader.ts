/** Reading the newest state of a conversation, wherever it is. */
import type { ConversationCache } from "./conversation-cache.ts";
import type { ConversationState } from "./domain/conversation.ts";
import type { MessageStore } from "./ports.ts";

export type ConversationReader = {
  /** The state if it is in memory. */
  peek(conversationId: string): ConversationState | undefined;
  /** The state from memory or the store; undefined for a conversation that there is not. */
  read(conversationId: string): Promise<ConversationState | undefined>;
};

/**
 * Creates a reader. It never puts what it loaded into the cache: between its read and its put the applier
 * may have gone on, and would then number from an old state.
 */
export function createConversationReader(dependencies: {
  readonly cache: Pick<ConversationCache, "get">;
  readonly store: Pick<MessageStore, "loadConversations">;
}): ConversationReader {
  const { cache, store } = dependencies;
  return {
    peek: (conversationId) => cache.get(conversationId),
    async read(conversationId) {
      const state = cache.get(conversationId);
      if (state !== undefined) return state;
      return (await store.loadConversations([conversationId])).get(conversationId);
    },
  };
}
