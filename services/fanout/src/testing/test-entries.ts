/** Entries as the message service makes them, in tests. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ConversationChangeSchema,
  ConversationKind,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  type FanoutBatch,
  FanoutBatchSchema,
  type FanoutEntry,
  FanoutEntrySchema,
} from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";

type Change = MessageInitShape<typeof ConversationChangeSchema>["change"];

/** A conversation whose entries follow one another as in a log. */
export type TestConversation = {
  readonly conversationId: string;
  /** A message; counts as unread unless silent. */
  message(senderUserId: string, options?: { silent?: boolean; origin?: string }): FanoutEntry;
  /** A change by `actorUserId`. */
  change(actorUserId: string, change: Change): FanoutEntry;
  created(userIds: readonly string[]): FanoutEntry;
  added(actorUserId: string, userIds: readonly string[]): FanoutEntry;
  removed(actorUserId: string, userId: string): FanoutEntry;
  left(userId: string): FanoutEntry;
  batch(...entries: readonly FanoutEntry[]): FanoutBatch;
  readonly seq: bigint;
};

let conversations = 0;

/** Creates one. Message ids of conversations made later are higher at the same `seq`. */
export function createTestConversation(
  options: { readonly direct?: readonly [string, string]; readonly id?: string } = {},
): TestConversation {
  const number = ++conversations;
  const conversationId =
    options.id ?? `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
  let seq = 0n;
  let unreadOrdinal = 0n;
  let membershipVersion = 0n;

  const entry = (init: MessageInitShape<typeof FanoutEntrySchema>): FanoutEntry => {
    seq++;
    const messageId = seq * 1_000_000n + BigInt(number);
    const event = new TextEncoder().encode(`${conversationId} ${seq}`);
    return create(FanoutEntrySchema, {
      ...{ seq, messageId, unreadOrdinal, event, offset: seq + 100n },
      ...init,
    });
  };

  const self: TestConversation = {
    conversationId,
    message(senderUserId, { silent = false, origin = "" } = {}) {
      if (!silent) unreadOrdinal++;
      return entry({
        senderUserId,
        originSessionId: origin,
        countsAsUnread: !silent,
        unreadOrdinal,
      });
    },
    change(actorUserId, change) {
      membershipVersion++;
      const value = { membershipVersion, actorUserId, ...(change === undefined ? {} : { change }) };
      return entry({ senderUserId: actorUserId, change: value });
    },
    created(userIds) {
      const members = userIds.map((userId, index) => ({
        userId,
        role: index === 0 ? Role.OWNER : Role.MEMBER,
      }));
      return self.change(userIds[0] ?? "", { case: "created", value: { members } });
    },
    added: (actorUserId, userIds) =>
      self.change(actorUserId, { case: "membersAdded", value: { userIds: [...userIds] } }),
    removed: (actorUserId, userId) =>
      self.change(actorUserId, { case: "memberRemoved", value: { userId } }),
    left: (userId) => self.change(userId, { case: "memberLeft", value: {} }),
    batch: (...entries) =>
      create(FanoutBatchSchema, {
        conversationId,
        kind: options.direct === undefined ? ConversationKind.GROUP : ConversationKind.DIRECT,
        entries: [...entries],
        directUserIds: [...(options.direct ?? [])],
      }),
    get seq() {
      return seq;
    },
  };
  return self;
}
