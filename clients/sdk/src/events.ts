/** What a client tells its listeners. */
import type {
  ConversationChange,
  ConversationPreferences,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Message, Receipt } from "@parley/gen/parley/message/v1/message_pb";
import type { Presence } from "@parley/gen/parley/presence/v1/presence_pb";
import type { ParleyError } from "./errors.ts";
import type { TypingEvent } from "./live/typing.ts";
import type { SendEvent } from "./outbox/outbox-dependencies.ts";
import type { ConnectionState } from "./session/connector.ts";
import type { SeqRange } from "./storage/client-storage.ts";
import type { ReplacedConversation } from "./sync/synchronizer.ts";

export type ClientEvents = {
  /** An entry of a conversation, own ones and changes included: in the order of `seq`, each once. */
  message: Message;
  /** The entry just told of by `message` is a change of its conversation. */
  conversationChanged: {
    readonly conversationId: string;
    readonly change: ConversationChange;
    readonly entry: Message;
  };
  /**
   * The server was put back from an older copy, and its history of a conversation is another than this device
   * had: entries above `keptSeq` are to be forgotten, and what the server has in their place follows as
   * `message`. `entries` are those that only this device still has, oldest first, own ones included: they are
   * kept nowhere from now on. Messages that wait in the outbox are not among them and go out.
   */
  conversationReplaced: ReplacedConversation;
  /** Somebody's positions grew, or this person's on another device. */
  receipt: Receipt;
  /** Somebody started typing or stopped. */
  typing: TypingEvent;
  /** The presence of a watched person, at first and whenever it changes. */
  presence: Presence;
  /** This person changed their preferences, here or on another device. */
  preferences: ConversationPreferences;
  /** The connection came, went, or is being tried. */
  stateChanged: ConnectionState;
  /** Everything that was missed has been told; from here on events are live. */
  caughtUp: { readonly skipped: readonly (SeqRange & { readonly conversationId: string })[] };
  /** This client was too slow, and a new session reads what it missed. */
  resync: { readonly waitingFrames: number };
  /** A message of the outbox changed its state. */
  send: SendEvent;
  /** The server ended this device for good; signing in again goes on with what is stored. */
  signedOut: { readonly reason: string };
  /** Something failed in the background; what was to be done is tried again where that makes sense. */
  error: ParleyError;
};
