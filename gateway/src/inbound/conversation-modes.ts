/** Which conversations the server can read. Fixed at creation, so what was once learned stays true. */
import type { Client, ContextValues } from "@connectrpc/connect";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import type { DeviceCaller } from "@parley/platform/rpc/caller";

export type ConversationModes = {
  /** Whether the server can read it; undefined if that is not known here. */
  peek(conversationId: string): boolean | undefined;
  /** Asks the directory as the caller. Rejects with the directory's refusal. */
  get(conversationId: string, caller: DeviceCaller): Promise<boolean>;
  /** As `get`, but false when the directory refuses or does not answer. */
  isServerReadable(conversationId: string, caller: DeviceCaller): Promise<boolean>;
};

/** Conversations that are remembered, at about 100 bytes each; the one learned first is forgotten first. */
const CONVERSATIONS_MAX = 100_000;

export function createConversationModes(options: {
  readonly conversations: Pick<Client<typeof ConversationService>, "getConversation">;
  readonly valuesOf: (caller: DeviceCaller) => ContextValues;
}): ConversationModes {
  const { conversations, valuesOf } = options;
  const known = new Map<string, boolean>();

  const learn = (conversationId: string, readable: boolean) => {
    if (known.size >= CONVERSATIONS_MAX) known.delete(known.keys().next().value as string);
    known.set(conversationId, readable);
  };

  const get = async (conversationId: string, caller: DeviceCaller) => {
    const remembered = known.get(conversationId);
    if (remembered !== undefined) return remembered;
    // Not shared between callers: each one's right to see the conversation is decided for itself.
    const { conversation } = await conversations.getConversation(
      { conversationId },
      { contextValues: valuesOf(caller) },
    );
    const readable = conversation?.encryptionMode === EncryptionMode.SERVER_READABLE;
    if (conversation !== undefined) learn(conversationId, readable);
    return readable;
  };

  return {
    peek: (conversationId) => known.get(conversationId),
    get,
    isServerReadable: (conversationId, caller) => get(conversationId, caller).catch(() => false),
  };
}
