/**
 * An in-memory chat behind the gateway that obeys the internal contract: a log per conversation with dense
 * `seq`, inboxes that are written before anybody is looked up, memberships, and ordered numbered deliveries.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { newUuid } from "@parley/platform/ids";

export type ChatEntry = {
  readonly seq: number;
  readonly messageId: bigint;
  readonly senderUserId: string;
  readonly clientMessageId: string;
  readonly payload: Uint8Array;
  /** The encoded event. */
  readonly event: Uint8Array;
  readonly acceptTimeMs: number;
};

/** From the first entry that a member may read to the last, while they are a member none. */
type Membership = { readonly firstSeq: number; lastSeq: number | undefined };

export type ChatConversation = {
  readonly id: string;
  readonly mode: EncryptionMode;
  readonly entries: ChatEntry[];
  readonly memberships: Map<string, Membership[]>;
};

export type ChatDelivery = {
  readonly conversationId: string;
  readonly entry: ChatEntry;
  readonly originSessionId: string;
  readonly userIds: readonly string[];
  readonly traceParent: string;
};

export type NewEntry = {
  readonly conversationId: string;
  readonly senderUserId: string;
  readonly senderDeviceId?: string;
  readonly clientMessageId?: string;
  readonly payload: Uint8Array;
  readonly originSessionId?: string;
  readonly traceParent?: string;
};

export class MemoryChat {
  readonly conversations = new Map<string, ChatConversation>();
  /** Conversations whose inbox rows are not written for now, and the newest entry that these know. */
  readonly inboxBehind = new Map<string, number>();
  /** Gets each entry after it is in every inbox. */
  onEntry: (delivery: ChatDelivery) => void = () => undefined;
  readonly #byClientMessageId = new Map<string, ChatEntry>();
  #nextMessageId = 1000n;

  createConversation(
    userIds: readonly string[],
    mode: EncryptionMode = EncryptionMode.SERVER_READABLE,
  ): string {
    const id = newUuid();
    const memberships = new Map<string, Membership[]>();
    this.conversations.set(id, { id, mode, entries: [], memberships });
    for (const userId of userIds) this.join(id, userId);
    return id;
  }

  get(conversationId: string): ChatConversation {
    const conversation = this.conversations.get(conversationId);
    if (conversation === undefined) throw new Error(`no conversation ${conversationId}`);
    return conversation;
  }

  join(conversationId: string, userId: string): void {
    const { entries, memberships } = this.get(conversationId);
    const before = memberships.get(userId) ?? [];
    memberships.set(userId, [...before, { firstSeq: entries.length + 1, lastSeq: undefined }]);
  }

  leave(conversationId: string, userId: string): void {
    const { entries, memberships } = this.get(conversationId);
    const last = memberships.get(userId)?.at(-1);
    if (last !== undefined) last.lastSeq = entries.length;
  }

  isMember(conversationId: string, userId: string): boolean {
    const last = this.conversations.get(conversationId)?.memberships.get(userId)?.at(-1);
    return last !== undefined && last.lastSeq === undefined;
  }

  mayRead(conversationId: string, userId: string, seq: number): boolean {
    const memberships = this.conversations.get(conversationId)?.memberships.get(userId) ?? [];
    return memberships.some(
      ({ firstSeq, lastSeq }) => seq >= firstSeq && (lastSeq === undefined || seq <= lastSeq),
    );
  }

  append(entry: NewEntry): { entry: ChatEntry; duplicate: boolean } {
    const conversation = this.get(entry.conversationId);
    const clientMessageId = entry.clientMessageId ?? newUuid();
    const known = this.#byClientMessageId.get(`${conversation.id}/${clientMessageId}`);
    if (known !== undefined) return { entry: known, duplicate: true };
    const added = this.#entry(conversation, { ...entry, clientMessageId });
    conversation.entries.push(added);
    this.#byClientMessageId.set(`${conversation.id}/${clientMessageId}`, added);
    const userIds = [...conversation.memberships.keys()].filter((userId) =>
      this.mayRead(conversation.id, userId, added.seq),
    );
    this.onEntry({
      conversationId: conversation.id,
      entry: added,
      originSessionId: entry.originSessionId ?? "",
      userIds,
      traceParent: entry.traceParent ?? "",
    });
    return { entry: added, duplicate: false };
  }

  /** As a server that was put back from an older copy: a conversation keeps so many entries, or nothing of it is left. */
  putBack(conversationId: string, length: number | undefined): void {
    if (length === undefined) this.conversations.delete(conversationId);
    else this.get(conversationId).entries.length = length;
  }

  /** What one person's inbox holds, by conversation id. */
  heads(userId: string) {
    const heads = [];
    for (const { id, entries, memberships } of this.conversations.values()) {
      const membership = memberships.get(userId)?.at(-1);
      const knownSeq = this.inboxBehind.get(id) ?? Number.POSITIVE_INFINITY;
      if (membership === undefined || knownSeq === 0) continue;
      const lastSeq = Math.min(membership.lastSeq ?? entries.length, knownSeq);
      const lastMessageId = entries[lastSeq - 1]?.messageId ?? 0n;
      const member = membership.lastSeq === undefined;
      const { firstSeq } = membership;
      heads.push({ conversationId: id, lastSeq, lastMessageId, firstSeq, member });
    }
    return heads.sort((a, b) => (a.conversationId < b.conversationId ? -1 : 1));
  }

  #entry(conversation: ChatConversation, entry: NewEntry & { clientMessageId: string }): ChatEntry {
    const seq = conversation.entries.length + 1;
    const messageId = this.#nextMessageId++;
    const { senderUserId, clientMessageId, payload } = entry;
    const acceptTimeMs = Date.UTC(2025, 0, 1) + Number(messageId);
    const message = create(MessageSchema, {
      conversationId: conversation.id,
      seq: BigInt(seq),
      messageId,
      senderUserId,
      senderDeviceId: entry.senderDeviceId ?? "",
      clientMessageId,
      acceptTime: timestampFromMs(acceptTimeMs),
      unreadOrdinal: BigInt(seq),
      body: { case: "payload", value: payload },
    });
    const event = toBinary(
      EventSchema,
      create(EventSchema, { event: { case: "message", value: message } }),
    );
    return { seq, messageId, senderUserId, clientMessageId, payload, event, acceptTimeMs };
  }
}
