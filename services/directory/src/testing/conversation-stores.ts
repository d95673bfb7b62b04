/** The conversation stores as their contract suites use them, and decisions to write into them. */
import assert from "node:assert/strict";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { newUuid } from "@parley/platform/ids";
import type {
  ChangeOutcome,
  ConversationStore,
  InviteStore,
  OutboxStore,
} from "../conversation-ports.ts";
import type { Changed, ConversationSnapshot } from "../domain/conversation.ts";
import { createGroup, openDirect } from "../domain/conversation-creation.ts";
import type { InviteState } from "../domain/conversation-invite.ts";
import { addMembers } from "../domain/conversation-membership.ts";

/** The stores on one fresh database. */
export type ConversationStores = AsyncDisposable & {
  readonly conversations: ConversationStore;
  readonly invites: InviteStore;
  readonly outbox: OutboxStore;
  /** Writes a block, as the account half does. */
  block(blockerUserId: string, blockedUserId: string): Promise<void>;
};

export const NOW_MS = 1_750_000_000_000;
export const MEMBERS_MAX = 500;
const NOBODY = { unknownUserIds: new Set<string>(), blockingUserIds: new Set<string>() };

export function directOf(actorUserId: string, userId: string): Changed {
  const encryptionMode = EncryptionMode.SERVER_READABLE;
  const facts = { known: true, blocked: false, encryptionMode, nowMs: NOW_MS };
  return openDirect({ actorUserId, userId, ...facts }) as Changed;
}

export function groupOf(actorUserId: string, userIds: readonly string[], nowMs = NOW_MS): Changed {
  return createGroup({
    conversationId: newUuid(),
    actorUserId,
    userIds,
    facts: NOBODY,
    title: "A group",
    encryptionMode: EncryptionMode.SERVER_READABLE,
    membersMax: MEMBERS_MAX,
    nowMs,
  }) as Changed;
}

export function requestOf(userId: string, rememberedSinceMs = 0) {
  return { userId, requestId: newUuid(), rememberedSinceMs };
}

export function inviteOf(conversationId: string, creatorUserId: string, useLimit = 0): InviteState {
  return {
    inviteCode: newUuid().replaceAll("-", "").slice(-22),
    conversationId,
    creatorUserId,
    createTimeMs: NOW_MS,
    expireTimeMs: NOW_MS + 1000,
    useLimit,
    useCount: 0,
    revoked: false,
  };
}

export const people = (count: number) => Array.from({ length: count }, () => newUuid()).sort();

export function add(actorUserId: string, userIds: readonly string[]) {
  return (snapshot: ConversationSnapshot) =>
    addMembers(snapshot, {
      actorUserId,
      userIds,
      facts: NOBODY,
      membersMax: MEMBERS_MAX,
      nowMs: NOW_MS,
    });
}

export function done(outcome: ChangeOutcome): Extract<ChangeOutcome, { kind: "done" }> {
  assert.equal(outcome.kind, "done");
  return outcome as Extract<ChangeOutcome, { kind: "done" }>;
}
