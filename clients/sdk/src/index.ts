/** The Parley client for browsers and Node. */
export { Code } from "@connectrpc/connect";
export { DevicePlatform, PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
export {
  ConversationKind,
  EncryptionMode,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
export type { Message, Receipt } from "@parley/gen/parley/message/v1/message_pb";
export { PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
export type { Authentication } from "./auth/sign-in.ts";
export { createParleyClient } from "./client.ts";
export {
  decodeContent,
  deletionContent,
  type EntryReference,
  editContent,
  encodeContent,
  reactionContent,
  TEXT_CHARACTERS_MAX,
  type TextInput,
  textContent,
} from "./content/content.ts";
export { type ConversationView, emptyView, reduceView, type ViewMessage } from "./content/view.ts";
export type { Conversation } from "./conversation.ts";
export type { ConversationViewer } from "./conversation-viewer.ts";
export { type ClientReason, isTransient, ParleyError, toParleyError } from "./errors.ts";
export type { ClientEvents } from "./events.ts";
export type { HistoryOptions, HistoryPage } from "./history.ts";
export type { TypingEvent } from "./live/typing.ts";
export type { ClientOptions, DeviceOptions } from "./options.ts";
export { OUTBOX_MESSAGES_MAX } from "./outbox/outbox.ts";
export type { SendEvent } from "./outbox/outbox-dependencies.ts";
export type { SendHandle, SendState } from "./outbox/send-handle.ts";
export type { Account, ParleyClient } from "./parley-client.ts";
export type { ServiceClients } from "./rpc/service-clients.ts";
export type { ConnectionState } from "./session/connector.ts";
export type { RoadName } from "./session/road.ts";
export type { WebSocketConstructor, WebSocketLike } from "./session/websocket-road.ts";
export type {
  ClientStorage,
  SeqRange,
  StorageBatch,
  StoredAccount,
  StoredEntry,
  StoredSend,
  StoredState,
  StoredTimeline,
} from "./storage/client-storage.ts";
export { openIndexedDbStorage } from "./storage/indexed-db-storage.ts";
export { createMemoryStorage } from "./storage/memory-storage.ts";
export type { ReplacedConversation } from "./sync/synchronizer.ts";
export { defaultTiming, type Timing } from "./timing.ts";
