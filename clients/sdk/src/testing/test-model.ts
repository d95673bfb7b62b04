/** The truth of the in-test server: people, devices, conversations and their entries, in memory. */
import { randomBytes, randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "@parley/gen/google/rpc/error_details_pb";
import { TokensSchema, type User, UserSchema } from "@parley/gen/parley/account/v1/account_pb";
import {
  type ConversationChange,
  ConversationChangeSchema,
  ConversationKind,
  type ConversationPreferences,
  EncryptionMode,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { type Message, MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import type { SendMessageRequest } from "@parley/gen/parley/message/v1/message_service_pb";

export type TestDevice = {
  readonly deviceId: string;
  readonly userId: string;
  accessToken: string;
  accessExpireMs: number;
  refreshToken: string;
  /** The token that was replaced last, and when: it works for a short time longer. */
  previous: { readonly refreshToken: string; readonly replacedMs: number } | undefined;
  revoked: boolean;
};

export type TestPerson = { readonly user: User; password: string };

/** A membership: entries from `fromSeq` to `toSeq` are readable. */
export type Window = { readonly fromSeq: bigint; toSeq: bigint | undefined };

export type TestConversation = {
  readonly id: string;
  readonly kind: ConversationKind;
  title: string;
  membershipVersion: bigint;
  readonly roles: Map<string, Role>;
  readonly windows: Map<string, Window[]>;
  readonly entries: Message[];
  readonly sent: Map<string, Message>;
  readonly receipts: Map<string, { delivered: bigint; read: bigint }>;
  readonly preferences: Map<string, ConversationPreferences>;
};

/** A refusal with a reason, as the contract asks for. */
export function refusal(
  code: Code,
  reason: string,
  text: string,
  options: { readonly retryAfterMs?: number; readonly metadata?: Record<string, string> } = {},
): ConnectError {
  const info = { reason, domain: "parley", metadata: options.metadata ?? {} };
  const error = new ConnectError(text, code, undefined, [{ desc: ErrorInfoSchema, value: info }]);
  if (options.retryAfterMs !== undefined) {
    const seconds = BigInt(Math.floor(options.retryAfterMs / 1000));
    const nanos = (options.retryAfterMs % 1000) * 1_000_000;
    error.details.push({ desc: RetryInfoSchema, value: { retryDelay: { seconds, nanos } } });
  }
  return error;
}

const PREVIOUS_TOKEN_MS = 60_000;

export class TestModel {
  readonly people = new Map<string, TestPerson>();
  readonly devices = new Map<string, TestDevice>();
  readonly conversations = new Map<string, TestConversation>();
  readonly contacts = new Map<string, Set<string>>();
  readonly blocks = new Map<string, Set<string>>();
  readonly invites = new Map<string, { readonly conversationId: string; uses: number }>();
  readonly groupRequests = new Map<string, string>();
  accessLifetimeMs = 900_000;
  refreshes = 0;
  /** Entries ever appended: one that takes the place of another has another id. */
  #appended = 0;

  signUp(username: string, password: string, displayName: string): TestPerson {
    if (this.findUser(username)) throw refusal(Code.AlreadyExists, "USERNAME_TAKEN", "Taken.");
    const user = create(UserSchema, {
      userId: randomUUID(),
      username: username.toLowerCase(),
      displayName: displayName === "" ? username : displayName,
      createTime: timestampNow(),
    });
    const person = { user, password };
    this.people.set(user.userId, person);
    return person;
  }

  findUser(username: string): TestPerson | undefined {
    return [...this.people.values()].find((p) => p.user.username === username.toLowerCase());
  }

  signIn(person: TestPerson): TestDevice {
    const device: TestDevice = {
      deviceId: randomUUID(),
      userId: person.user.userId,
      accessToken: "",
      accessExpireMs: 0,
      refreshToken: "",
      previous: undefined,
      revoked: false,
    };
    this.devices.set(device.deviceId, device);
    this.#renew(device);
    return device;
  }

  #renew(device: TestDevice): void {
    device.accessToken = `access-${randomBytes(12).toString("hex")}`;
    device.accessExpireMs = Date.now() + this.accessLifetimeMs;
    device.refreshToken = `refresh-${randomBytes(12).toString("hex")}`;
  }

  refresh(refreshToken: string): TestDevice {
    this.refreshes++;
    for (const device of this.devices.values()) {
      if (device.revoked) continue;
      if (device.refreshToken === refreshToken) {
        device.previous = { refreshToken, replacedMs: Date.now() };
        this.#renew(device);
        return device;
      }
      if (device.previous?.refreshToken === refreshToken) {
        if (Date.now() - device.previous.replacedMs < PREVIOUS_TOKEN_MS) return device;
        device.revoked = true;
        throw refusal(Code.Unauthenticated, "REFRESH_TOKEN_REUSED", "Reused.");
      }
    }
    throw refusal(Code.Unauthenticated, "REFRESH_TOKEN_INVALID", "Unknown.");
  }

  tokensOf(device: TestDevice) {
    return create(TokensSchema, {
      accessToken: device.accessToken,
      accessExpireTime: timestampFromMs(device.accessExpireMs),
      refreshToken: device.refreshToken,
      refreshExpireTime: timestampFromMs(Date.now() + 86_400_000),
    });
  }

  authenticate(accessToken: string): TestDevice {
    const device = [...this.devices.values()].find((d) => d.accessToken === accessToken);
    if (!device || device.revoked || device.accessExpireMs <= Date.now()) {
      throw refusal(Code.Unauthenticated, "TOKEN_INVALID", "The token is not valid.");
    }
    return device;
  }

  /** The conversation, if the person is or was a member. */
  conversation(id: string, userId: string): TestConversation {
    const conversation = this.conversations.get(id);
    if (!conversation?.windows.has(userId)) {
      throw refusal(Code.NotFound, "CONVERSATION_NOT_FOUND", "There is no such conversation.");
    }
    return conversation;
  }

  createConversation(
    kind: ConversationKind,
    title: string,
    creatorId: string,
    others: readonly string[],
    id: string = randomUUID(),
  ): { readonly conversation: TestConversation; readonly entry: Message } {
    const direct = kind === ConversationKind.DIRECT;
    const roles = new Map([[creatorId, direct ? Role.MEMBER : Role.OWNER]]);
    for (const other of others) roles.set(other, Role.MEMBER);
    const conversation: TestConversation = {
      id,
      kind,
      title,
      membershipVersion: 0n,
      roles: new Map(),
      windows: new Map(),
      entries: [],
      sent: new Map(),
      receipts: new Map(),
      preferences: new Map(),
    };
    this.conversations.set(id, conversation);
    const members = [...roles].map(([userId, role]) => ({ userId, role }));
    const value = { kind, encryptionMode: EncryptionMode.SERVER_READABLE, title, members };
    for (const { userId, role } of members) this.join(conversation, userId, role);
    const entry = this.appendChange(conversation, creatorId, {
      change: { case: "created", value },
    });
    return { conversation, entry };
  }

  /** The next entry is the first that the person reads. */
  join(conversation: TestConversation, userId: string, role: Role): void {
    conversation.roles.set(userId, role);
    const windows = conversation.windows.get(userId) ?? [];
    windows.push({ fromSeq: BigInt(conversation.entries.length) + 1n, toSeq: undefined });
    conversation.windows.set(userId, windows);
  }

  /** The next entry is the last that the person reads. */
  leave(conversation: TestConversation, userId: string): void {
    conversation.roles.delete(userId);
    const window = conversation.windows.get(userId)?.at(-1);
    if (window) window.toSeq = BigInt(conversation.entries.length) + 1n;
  }

  appendChange(
    conversation: TestConversation,
    actorUserId: string,
    change: Pick<MessageInitShape<typeof ConversationChangeSchema>, "change">,
  ): Message {
    conversation.membershipVersion++;
    const membershipVersion = conversation.membershipVersion;
    const value: ConversationChange = create(ConversationChangeSchema, {
      ...change,
      membershipVersion,
      actorUserId,
    });
    return this.#append(conversation, {
      senderUserId: actorUserId,
      body: { case: "change", value },
      silent: true,
    });
  }

  appendMessage(device: Pick<TestDevice, "userId" | "deviceId">, request: SendMessageRequest) {
    const conversation = this.conversation(request.conversationId, device.userId);
    const key = `${device.deviceId} ${request.clientMessageId}`;
    const first = conversation.sent.get(key);
    if (first) return { conversation, entry: first, duplicate: true };
    if (!conversation.roles.has(device.userId)) {
      throw refusal(Code.PermissionDenied, "NOT_A_MEMBER", "Not a member.");
    }
    const peer = [...conversation.roles.keys()].find((id) => id !== device.userId) ?? "";
    const direct = conversation.kind === ConversationKind.DIRECT;
    if (direct && this.blocks.get(peer)?.has(device.userId)) {
      throw refusal(Code.PermissionDenied, "CANNOT_SEND", "This person takes no messages.");
    }
    if (request.body.case !== "payload") throw new Error("The test server takes payloads only.");
    const entry = this.#append(conversation, {
      senderUserId: device.userId,
      senderDeviceId: device.deviceId,
      clientMessageId: request.clientMessageId,
      clientTime: request.clientTime ?? timestampNow(),
      body: { case: "payload", value: request.body.value },
      silent: request.silent,
    });
    conversation.sent.set(key, entry);
    return { conversation, entry, duplicate: false };
  }

  #append(
    conversation: TestConversation,
    init: MessageInitShape<typeof MessageSchema> & { readonly silent: boolean },
  ): Message {
    const { silent, ...rest } = init;
    const previous = conversation.entries.at(-1);
    const seq = (previous?.seq ?? 0n) + 1n;
    const entry = create(MessageSchema, {
      ...(rest as MessageInitShape<typeof MessageSchema>),
      conversationId: conversation.id,
      seq,
      messageId: (BigInt(Date.now()) << 22n) + BigInt(this.#appended++),
      acceptTime: timestampNow(),
      unreadOrdinal: (previous?.unreadOrdinal ?? 0n) + (silent ? 0n : 1n),
      membershipVersion: conversation.membershipVersion,
    });
    conversation.entries.push(entry);
    return entry;
  }

  /** The server is put back from a copy that was made when the conversation had this many entries. */
  restore(conversation: TestConversation, count: number): void {
    for (const entry of conversation.entries.splice(count)) {
      conversation.sent.delete(`${entry.senderDeviceId} ${entry.clientMessageId}`);
    }
    if (count === 0) this.conversations.delete(conversation.id);
  }

  /** What a person may read, oldest first. */
  readable(conversation: TestConversation, userId: string): Message[] {
    const windows = conversation.windows.get(userId) ?? [];
    return conversation.entries.filter(({ seq }) =>
      windows.some((w) => w.fromSeq <= seq && (w.toSeq === undefined || seq <= w.toSeq)),
    );
  }
}
