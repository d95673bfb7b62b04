/** The unary services of the in-test server. What no test needs answers UNIMPLEMENTED. */
import { createHash, randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { ContactService } from "@parley/gen/parley/contact/v1/contact_service_pb";
import {
  ConversationKind,
  ConversationPreferencesSchema,
  ConversationSchema,
  EncryptionMode,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import { InboxService } from "@parley/gen/parley/message/v1/inbox_service_pb";
import { InboxEntrySchema, ReceiptSchema } from "@parley/gen/parley/message/v1/message_pb";
import { MessageService, ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";
import { OpsService } from "@parley/gen/parley/ops/v1/ops_service_pb";
import { PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import { PresenceService } from "@parley/gen/parley/presence/v1/presence_service_pb";
import {
  refusal,
  type TestConversation,
  type TestDevice,
  type TestModel,
  type TestPerson,
} from "./test-model.ts";
import type { TestSessions } from "./test-sessions.ts";

export type ServiceWorld = {
  readonly model: TestModel;
  readonly sessions: TestSessions;
  readonly deviceOf: (context: HandlerContext) => TestDevice;
  /** Counts calls, by method name. */
  readonly calls: Map<string, number>;
};

export function registerServices(router: ConnectRouter, world: ServiceWorld): void {
  registerAccounts(router, world);
  registerContacts(router, world);
  registerConversations(router, world);
  registerMessages(router, world);
  router.service(PresenceService, {
    batchGetPresence: ({ userIds }) => ({
      presences: userIds.map((userId) => ({
        userId,
        status: world.sessions.online(userId) ? PresenceStatus.ONLINE : PresenceStatus.OFFLINE,
      })),
    }),
  });
  router.service(OpsService, {
    getServerInfo: () => ({
      serverName: "test",
      version: "0.0.0",
      encryptionModes: [EncryptionMode.SERVER_READABLE],
      signUpOpen: true,
      payloadBytesMax: 65_536,
      heartbeatInterval: durationFromMs(world.sessions.heartbeatMs),
      serverTime: timestampNow(),
    }),
  });
}

function registerAccounts(
  router: ConnectRouter,
  { model, sessions, deviceOf }: ServiceWorld,
): void {
  const signedIn = (person: TestPerson) => {
    const device = model.signIn(person);
    return { user: person.user, deviceId: device.deviceId, tokens: model.tokensOf(device) };
  };
  router.service(AccountService, {
    signUp: ({ username, password, displayName }) =>
      signedIn(model.signUp(username, password, displayName)),
    signIn({ username, password }) {
      const person = model.findUser(username);
      if (person?.password !== password) {
        throw refusal(Code.Unauthenticated, "BAD_CREDENTIALS", "Wrong username or password.");
      }
      return signedIn(person);
    },
    refreshTokens: ({ refreshToken }) => ({
      tokens: model.tokensOf(model.refresh(refreshToken)),
    }),
    signOut(_request, context) {
      const device = deviceOf(context);
      device.revoked = true;
      for (const session of [...sessions.sessions.values()]) {
        if (session.device === device) sessions.cut(session);
      }
      return {};
    },
    getAccount(_request, context) {
      const { userId, deviceId } = deviceOf(context);
      const user = model.people.get(userId)?.user;
      return { deviceId, ...(user ? { user } : {}) };
    },
    batchGetUsers: ({ userIds }) => ({
      users: userIds.map((id) => model.people.get(id)?.user).filter((user) => user !== undefined),
    }),
    searchUsers: ({ query }) => ({
      users: [...model.people.values()]
        .map(({ user }) => user)
        .filter((user) => user.username.startsWith(query.toLowerCase())),
    }),
  });
}

function registerContacts(router: ConnectRouter, { model, deviceOf }: ServiceWorld): void {
  const setOf = (sets: Map<string, Set<string>>, userId: string) => {
    const set = sets.get(userId) ?? new Set<string>();
    sets.set(userId, set);
    return set;
  };
  router.service(ContactService, {
    addContact({ userId }, context) {
      setOf(model.contacts, deviceOf(context).userId).add(userId);
      return {};
    },
    blockUser({ userId }, context) {
      setOf(model.blocks, deviceOf(context).userId).add(userId);
      return {};
    },
    unblockUser({ userId }, context) {
      setOf(model.blocks, deviceOf(context).userId).delete(userId);
      return {};
    },
  });
}

/** The same for both, whoever asks. */
function directId(a: string, b: string): string {
  const hex = createHash("sha256").update([a, b].sort().join(" ")).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function toConversation(conversation: TestConversation, userId: string) {
  const direct = conversation.kind === ConversationKind.DIRECT;
  const preferences = conversation.preferences.get(userId);
  return create(ConversationSchema, {
    conversationId: conversation.id,
    kind: conversation.kind,
    encryptionMode: EncryptionMode.SERVER_READABLE,
    title: conversation.title,
    membershipVersion: conversation.membershipVersion,
    memberCount: conversation.roles.size,
    ownRole: conversation.roles.get(userId) ?? Role.UNSPECIFIED,
    peerUserId: direct ? ([...conversation.roles.keys()].find((id) => id !== userId) ?? "") : "",
    ...(preferences ? { preferences } : {}),
  });
}

function registerConversations(router: ConnectRouter, world: ServiceWorld): void {
  const { model, sessions, deviceOf } = world;
  const managed = (id: string, context: HandlerContext) => {
    const { userId } = deviceOf(context);
    const conversation = model.conversation(id, userId);
    const role = conversation.roles.get(userId) ?? Role.UNSPECIFIED;
    if (role < Role.ADMIN) {
      throw refusal(Code.PermissionDenied, "ROLE_INSUFFICIENT", "Admins and the owner only.");
    }
    return { conversation, userId };
  };
  const change = (
    conversation: TestConversation,
    actor: string,
    value: Parameters<TestModel["appendChange"]>[2],
  ) => sessions.publishEntry(conversation, model.appendChange(conversation, actor, value));
  router.service(ConversationService, {
    openDirectConversation({ userId: peer }, context) {
      const { userId } = deviceOf(context);
      if (!model.people.has(peer)) throw refusal(Code.NotFound, "USER_NOT_FOUND", "Unknown.");
      const id = directId(userId, peer);
      let conversation = model.conversations.get(id);
      if (!conversation) {
        const created = model.createConversation(ConversationKind.DIRECT, "", userId, [peer], id);
        conversation = created.conversation;
        sessions.publishEntry(conversation, created.entry);
      }
      return { conversation: toConversation(conversation, userId) };
    },
    createGroup({ requestId, title, userIds }, context) {
      const { userId } = deviceOf(context);
      const known = model.conversations.get(model.groupRequests.get(requestId) ?? "");
      if (known) return { conversation: toConversation(known, userId) };
      const created = model.createConversation(ConversationKind.GROUP, title, userId, userIds);
      model.groupRequests.set(requestId, created.conversation.id);
      sessions.publishEntry(created.conversation, created.entry);
      return { conversation: toConversation(created.conversation, userId) };
    },
    getConversation({ conversationId }, context) {
      const { userId } = deviceOf(context);
      const conversation = model.conversation(conversationId, userId);
      return { conversation: toConversation(conversation, userId) };
    },
    listMembers({ conversationId }, context) {
      const conversation = model.conversation(conversationId, deviceOf(context).userId);
      const members = [...conversation.roles].map(([userId, role]) => ({ userId, role }));
      members.sort((a, b) => b.role - a.role);
      return { members, membershipVersion: conversation.membershipVersion };
    },
    addMembers({ conversationId, userIds }, context) {
      const { conversation, userId } = managed(conversationId, context);
      const added = userIds.filter((id) => !conversation.roles.has(id));
      for (const id of added) model.join(conversation, id, Role.MEMBER);
      change(conversation, userId, {
        change: { case: "membersAdded", value: { userIds: added } },
      });
      return { conversation: toConversation(conversation, userId) };
    },
    removeMember({ conversationId, userId: removed }, context) {
      const { conversation, userId } = managed(conversationId, context);
      model.leave(conversation, removed);
      change(conversation, userId, {
        change: { case: "memberRemoved", value: { userId: removed } },
      });
      return { conversation: toConversation(conversation, userId) };
    },
    leaveConversation({ conversationId }, context) {
      const { userId } = deviceOf(context);
      const conversation = model.conversation(conversationId, userId);
      model.leave(conversation, userId);
      change(conversation, userId, { change: { case: "memberLeft", value: {} } });
      return {};
    },
    updateTitle({ conversationId, title }, context) {
      const { conversation, userId } = managed(conversationId, context);
      conversation.title = title;
      change(conversation, userId, { change: { case: "titleChanged", value: { title } } });
      return { conversation: toConversation(conversation, userId) };
    },
    updatePreferences({ conversationId, muteUntilTime }, context) {
      const { userId } = deviceOf(context);
      const conversation = model.conversation(conversationId, userId);
      const preferences = create(ConversationPreferencesSchema, {
        conversationId,
        ...(muteUntilTime ? { muteUntilTime } : {}),
      });
      conversation.preferences.set(userId, preferences);
      return { preferences };
    },
    createInviteLink({ conversationId }, context) {
      managed(conversationId, context);
      const inviteCode = randomBytes(16).toString("base64url");
      model.invites.set(inviteCode, { conversationId, uses: 0 });
      return { inviteLink: { inviteCode, conversationId } };
    },
    getInvitePreview({ inviteCode }) {
      const conversation = model.conversations.get(
        model.invites.get(inviteCode)?.conversationId ?? "",
      );
      if (!conversation) throw refusal(Code.NotFound, "INVITE_NOT_FOUND", "Unknown code.");
      const { id, title, roles } = conversation;
      return { conversationId: id, title, memberCount: roles.size };
    },
    joinByInvite({ inviteCode }, context) {
      const { userId } = deviceOf(context);
      const conversation = model.conversations.get(
        model.invites.get(inviteCode)?.conversationId ?? "",
      );
      if (!conversation) throw refusal(Code.NotFound, "INVITE_NOT_FOUND", "Unknown code.");
      if (!conversation.roles.has(userId)) {
        model.join(conversation, userId, Role.MEMBER);
        change(conversation, userId, { change: { case: "memberJoined", value: {} } });
      }
      return { conversation: toConversation(conversation, userId) };
    },
  });
}

function registerMessages(router: ConnectRouter, world: ServiceWorld): void {
  const { model, sessions, deviceOf, calls } = world;
  router.service(MessageService, {
    sendMessage: (request, context) => sessions.send(deviceOf(context), request),
    listMessages({ conversationId, fromSeq, direction, pageSize }, context) {
      calls.set("listMessages", (calls.get("listMessages") ?? 0) + 1);
      if ((sessions.faults.failListMessages ?? 0) > 0) {
        sessions.faults.failListMessages = (sessions.faults.failListMessages ?? 0) - 1;
        throw refusal(Code.Unavailable, "UNAVAILABLE", "Not now.");
      }
      const { userId } = deviceOf(context);
      const entries = model.readable(model.conversation(conversationId, userId), userId);
      const count = Math.min(pageSize === 0 ? 50 : pageSize, 200);
      const older = direction === ReadDirection.OLDER;
      const rest = older
        ? entries.filter(({ seq }) => fromSeq === 0n || seq < fromSeq).reverse()
        : entries.filter(({ seq }) => seq > fromSeq);
      return {
        messages: rest.slice(0, count),
        more: rest.length > count,
        lastSeq: entries.at(-1)?.seq ?? 0n,
      };
    },
    updateReceipt: (request, context) => ({
      receipt: sessions.updateReceipt(deviceOf(context), request),
    }),
    listReceipts({ conversationId }, context) {
      const conversation = model.conversation(conversationId, deviceOf(context).userId);
      return {
        receipts: [...conversation.receipts].map(([userId, { delivered, read }]) =>
          create(ReceiptSchema, { conversationId, userId, deliveredSeq: delivered, readSeq: read }),
        ),
      };
    },
  });
  router.service(InboxService, {
    listInbox(_request, context) {
      const { userId } = deviceOf(context);
      const entries = [...model.conversations.values()].flatMap((conversation) => {
        const readable = model.readable(conversation, userId);
        const last = readable.at(-1);
        if (!last) return [];
        const readSeq = conversation.receipts.get(userId)?.read ?? 0n;
        const unread = readable.filter(
          (entry) =>
            entry.seq > readSeq && entry.senderUserId !== userId && entry.body.case === "payload",
        );
        const entry = create(InboxEntrySchema, {
          conversationId: conversation.id,
          lastSeq: last.seq,
          lastMessageId: last.messageId,
          lastMessage: last,
          readSeq,
          unreadCount: BigInt(unread.length),
          firstSeq: readable[0]?.seq ?? 0n,
          member: conversation.roles.has(userId),
        });
        return [entry];
      });
      entries.sort((a, b) => (a.lastMessageId < b.lastMessageId ? 1 : -1));
      return { entries };
    },
  });
}
