/**
 * Who may do what: for every RPC of the public contract a request, and what each kind of caller is answered.
 *
 * `anybody` is what a signed-in device gets unless its kind is named. Callers without a valid token, and RPCs that are
 * not public, need no line here: the test derives them from the contract's `access` option.
 */
import { randomUUID } from "node:crypto";
import { Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";

export const callerKinds = [
  "stranger",
  "removed",
  "member",
  "admin",
  "owner",
  "ownerOtherDevice",
] as const;
export type CallerKind = (typeof callerKinds)[number];

/** `ok`, or the gRPC code and the reason of the refusal. */
export type Answer = "ok" | `${string}/${string}`;

export type World = {
  readonly conversationId: string;
  readonly inviteCode: string;
  /** A plain member of the group who calls nothing. */
  readonly bystanderUserId: string;
  /** Somebody in no group, for adding. */
  readonly outsiderUserId: string;
  readonly username: string;
  readonly password: string;
};

export type Line = {
  readonly request: (world: World) => Record<string, unknown>;
  readonly anybody?: Answer;
} & Partial<Record<CallerKind, Answer>>;

const device = { name: "matrix", platform: 2 };
const notFound = "not_found/CONVERSATION_NOT_FOUND";
const roleInsufficient = "permission_denied/ROLE_INSUFFICIENT";

const notMember = "permission_denied/NOT_A_MEMBER";

/** Reads of a conversation that a former member may still do. */
const membersAndFormer = { stranger: notFound } as const;
const membersOnly = { stranger: notFound, removed: notFound } as const;
const adminsOnly = { ...membersOnly, member: roleInsufficient } as const;
const ownerOnly = { ...adminsOnly, admin: roleInsufficient } as const;

const inGroup = (world: World) => ({ conversationId: world.conversationId });

export const lines: Record<string, Line> = {
  "AccountService.SignUp": {
    request: () => ({ username: `m${randomUUID().slice(0, 8)}`, password: "long enough", device }),
  },
  "AccountService.SignIn": {
    request: (world) => ({ username: world.username, password: world.password, device }),
  },
  "AccountService.SignInWithExternalToken": {
    request: () => ({ externalToken: "none", device }),
    anybody: "failed_precondition/EXTERNAL_ISSUER_ABSENT",
  },
  "AccountService.RefreshTokens": {
    request: () => ({ refreshToken: "none" }),
    anybody: "unauthenticated/REFRESH_TOKEN_INVALID",
  },
  "AccountService.SignOut": { request: () => ({}) },
  "AccountService.ChangePassword": {
    request: () => ({ currentPassword: "not the password", newPassword: "another password" }),
    anybody: "permission_denied/BAD_CREDENTIALS",
  },
  "AccountService.ListDevices": { request: () => ({}) },
  // Somebody else's device looks like one that never was.
  "AccountService.RevokeDevice": {
    request: () => ({ deviceId: randomUUID() }),
    anybody: "not_found/DEVICE_NOT_FOUND",
  },
  "AccountService.GetAccount": { request: () => ({}) },
  "AccountService.UpdateProfile": { request: () => ({ about: "hello" }) },
  "AccountService.UpdatePrivacySettings": {
    request: () => ({
      privacy: { presenceVisibility: 1, sendReadReceipts: true, searchable: true },
    }),
  },
  "AccountService.BatchGetUsers": { request: (world) => ({ userIds: [world.outsiderUserId] }) },
  "AccountService.SearchUsers": { request: () => ({ query: "a" }) },

  "ContactService.AddContact": { request: (world) => ({ userId: world.outsiderUserId }) },
  "ContactService.RemoveContact": { request: (world) => ({ userId: world.outsiderUserId }) },
  "ContactService.ListContacts": { request: () => ({}) },
  "ContactService.BlockUser": { request: (world) => ({ userId: world.outsiderUserId }) },
  "ContactService.UnblockUser": { request: (world) => ({ userId: world.outsiderUserId }) },
  "ContactService.ListBlocks": { request: () => ({}) },

  "ConversationService.OpenDirectConversation": {
    request: (world) => ({ userId: world.outsiderUserId }),
  },
  "ConversationService.CreateGroup": {
    request: () => ({ requestId: randomUUID(), title: "Matrix" }),
  },
  "ConversationService.GetConversation": { request: inGroup, ...membersAndFormer },
  "ConversationService.ListConversations": { request: () => ({}) },
  "ConversationService.ListMembers": { request: inGroup, ...membersOnly },
  "ConversationService.AddMembers": {
    request: (world) => ({ ...inGroup(world), userIds: [world.outsiderUserId] }),
    ...adminsOnly,
  },
  "ConversationService.RemoveMember": {
    request: (world) => ({ ...inGroup(world), userId: world.outsiderUserId }),
    ...adminsOnly,
  },
  "ConversationService.UpdateMemberRole": {
    request: (world) => ({ ...inGroup(world), userId: world.bystanderUserId, role: Role.MEMBER }),
    ...ownerOnly,
  },
  "ConversationService.UpdateTitle": {
    request: (world) => ({ ...inGroup(world), title: "Renamed" }),
    ...adminsOnly,
  },
  "ConversationService.UpdatePreferences": { request: inGroup, ...membersOnly },
  "ConversationService.CreateInviteLink": { request: inGroup, ...adminsOnly },
  "ConversationService.ListInviteLinks": { request: inGroup, ...adminsOnly },
  "ConversationService.RevokeInviteLink": {
    request: (world) => ({ ...inGroup(world), inviteCode: "AAAAAAAAAAAAAAAAAAAAAA" }),
    ...adminsOnly,
  },
  "ConversationService.GetInvitePreview": {
    request: (world) => ({ inviteCode: world.inviteCode }),
  },
  "ConversationService.JoinByInvite": {
    request: (world) => ({ inviteCode: world.inviteCode }),
    removed: "permission_denied/REMOVED",
  },
  // Who is not a member has left already: leaving is idempotent for former members, and nothing for strangers.
  "ConversationService.LeaveConversation": { request: inGroup, stranger: notFound },

  "MessageService.SendMessage": {
    request: (world) => ({
      ...inGroup(world),
      clientMessageId: randomUUID(),
      body: { case: "payload", value: new Uint8Array([1]) },
    }),
    stranger: notFound,
    removed: notMember,
  },
  "MessageService.ListMessages": {
    request: (world) => ({ ...inGroup(world), direction: ReadDirection.OLDER }),
    ...membersAndFormer,
  },
  "MessageService.UpdateReceipt": {
    request: (world) => ({ ...inGroup(world), deliveredSeq: 1n }),
    stranger: notFound,
    removed: notMember,
  },
  "MessageService.ListReceipts": { request: inGroup, stranger: notFound, removed: notMember },
  "InboxService.ListInbox": { request: () => ({}) },
  "PresenceService.BatchGetPresence": { request: (world) => ({ userIds: [world.outsiderUserId] }) },

  "RealtimeService.Connect": { request: () => ({ frame: { frame: { case: "open", value: {} } } }) },
  "RealtimeService.Subscribe": { request: () => ({ open: { positionsComplete: true } }) },
  "RealtimeService.Submit": {
    request: () => ({
      sessionId: randomUUID(),
      frames: [{ frame: { case: "heartbeat", value: {} } }],
    }),
    anybody: "not_found/SESSION_NOT_FOUND",
  },
  "RealtimeService.Poll": { request: () => ({ open: { positionsComplete: true } }) },

  "OpsService.GetServerInfo": { request: () => ({}) },
  "OpsService.GetStatus": { request: () => ({}) },
  "ParkedRecordService.ListParkedRecords": { request: () => ({}) },
};
