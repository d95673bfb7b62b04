/** How conversations begin. */
import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  ConversationChangeSchema,
  ConversationKind,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import type {
  Changed,
  ConversationState,
  KnownEncryptionMode,
  KnownRole,
  Membership,
  Refused,
} from "./conversation.ts";
import { refuse } from "./conversation.ts";

/** What is known of the people whom a command names, as of shortly before the decision. */
export type PeopleFacts = {
  /** Who has no account. */
  readonly unknownUserIds: ReadonlySet<string>;
  /** Who keeps the caller away by a block. */
  readonly blockingUserIds: ReadonlySet<string>;
};

/** Separates these ids from every other use of SHA-256 over two user ids. */
const DIRECT_ID_DOMAIN = "parley-direct";

/**
 * The id of the direct conversation of two people, the same whoever opens it: a UUIDv8 (RFC 9562) of
 * SHA-256(domain ‖ smaller id ‖ larger id), the first 16 bytes with version and variant set.
 */
export function directConversationId(userIds: readonly [string, string]): string {
  const [low, high] = sortedPair(userIds);
  const bytes = createHash("sha256").update(DIRECT_ID_DOMAIN).update(low).update(high).digest();
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex", 0, 16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20, 32),
  ].join("-");
}

/** Two user ids in the order of their text. */
export function sortedPair(userIds: readonly [string, string]): readonly [string, string] {
  const [first, second] = userIds;
  return first < second ? [first, second] : [second, first];
}

/** Decides on a direct conversation that does not exist yet. */
export function openDirect(command: {
  readonly actorUserId: string;
  readonly userId: string;
  /** Whether the person has an account. */
  readonly known: boolean;
  /** Whether either person blocks the other. */
  readonly blocked: boolean;
  readonly encryptionMode: KnownEncryptionMode;
  readonly nowMs: number;
}): Changed | Refused {
  const { actorUserId, userId } = command;
  if (!command.known) return refuse({ reason: "USER_NOT_FOUND", userIds: [userId] });
  if (command.blocked) return refuse({ reason: "BLOCKED", userIds: [userId] });
  const directUserIds = sortedPair([actorUserId, userId]);
  return beginConversation({
    conversationId: directConversationId(directUserIds),
    kind: ConversationKind.DIRECT,
    actorUserId,
    directUserIds,
    title: "",
    encryptionMode: command.encryptionMode,
    nowMs: command.nowMs,
    roles: directUserIds.map((id) => [id, Role.MEMBER]),
  });
}

/** Decides on a new group; the actor is its owner, and counts once however often they are named. */
export function createGroup(command: {
  readonly conversationId: string;
  readonly actorUserId: string;
  readonly userIds: readonly string[];
  readonly facts: PeopleFacts;
  readonly title: string;
  readonly encryptionMode: KnownEncryptionMode;
  readonly membersMax: number;
  readonly nowMs: number;
}): Changed | Refused {
  const { actorUserId, facts, membersMax } = command;
  const others = [...new Set(command.userIds)].filter((userId) => userId !== actorUserId);
  if (others.length + 1 > membersMax) return refuse({ reason: "GROUP_FULL", membersMax });
  const refused = refuseStrangers(others, facts);
  if (refused !== undefined) return refused;
  return beginConversation({
    ...command,
    kind: ConversationKind.GROUP,
    directUserIds: undefined,
    roles: [[actorUserId, Role.OWNER], ...others.map((id) => [id, Role.MEMBER] as const)],
  });
}

/** Refuses people who have no account, or else people who block the actor; names all of them. */
export function refuseStrangers(
  userIds: readonly string[],
  facts: PeopleFacts,
): Refused | undefined {
  const unknown = userIds.filter((userId) => facts.unknownUserIds.has(userId));
  if (unknown.length > 0) return refuse({ reason: "USER_NOT_FOUND", userIds: unknown });
  const blocking = userIds.filter((userId) => facts.blockingUserIds.has(userId));
  if (blocking.length > 0) return refuse({ reason: "BLOCKED", userIds: blocking });
  return undefined;
}

function beginConversation(init: {
  readonly conversationId: string;
  readonly kind: ConversationState["kind"];
  readonly actorUserId: string;
  readonly directUserIds: ConversationState["directUserIds"];
  readonly title: string;
  readonly encryptionMode: KnownEncryptionMode;
  readonly nowMs: number;
  readonly roles: readonly (readonly [userId: string, role: KnownRole])[];
}): Changed {
  const { conversationId, kind, title, encryptionMode, nowMs } = init;
  const members = init.roles.map(([userId, role]): Membership => {
    return { userId, role, removed: false, maySend: true, joinVersion: 1, joinTimeMs: nowMs };
  });
  return {
    kind: "changed",
    conversation: {
      conversationId,
      kind,
      encryptionMode,
      title,
      membershipVersion: 1,
      memberCount: members.length,
      directUserIds: init.directUserIds,
      createTimeMs: nowMs,
      changeTimeMs: nowMs,
    },
    members,
    change: create(ConversationChangeSchema, {
      membershipVersion: 1n,
      actorUserId: init.actorUserId,
      change: {
        case: "created",
        value: {
          kind,
          encryptionMode,
          title,
          members: members.map(({ userId, role }) => ({ userId, role })),
        },
      },
    }),
  };
}
