/// <reference lib="esnext.disposable" preserve="true" />
/** What an application holds of a client. */
import type { InboxEntry } from "@parley/gen/parley/message/v1/message_pb";
import type { Presence } from "@parley/gen/parley/presence/v1/presence_pb";
import type { Authentication } from "./auth/sign-in.ts";
import type { Conversation } from "./conversation.ts";
import type { Listener } from "./emitter.ts";
import type { ClientEvents } from "./events.ts";
import type { SendHandle } from "./outbox/send-handle.ts";
import type { ServiceClients } from "./rpc/service-clients.ts";
import type { ConnectionState } from "./session/connector.ts";

/** Who is signed in. */
export type Account = {
  readonly userId: string;
  readonly deviceId: string;
  readonly username: string;
};

export type ParleyClient = ServiceClients &
  Authentication & {
    /** Resolves when the storage is read; rejects if it cannot be. Everything that needs it waits by itself. */
    readonly ready: Promise<void>;
    /** Who is signed in; undefined before `ready` and while nobody is. */
    readonly account: Account | undefined;
    /** The connection as the last `stateChanged` told it. */
    readonly state: ConnectionState;

    /**
     * Opens a session and keeps one open until `disconnect`. The promise resolves when everything that was
     * missed has been told, and rejects when connecting is given up; nobody has to wait for it.
     */
    connect(): Promise<void>;
    /** Ends the session. Messages that are sent from then on go out one by one, without a session. */
    disconnect(): Promise<void>;
    /** Tries to connect now, instead of at the end of a pause. */
    wake(): void;

    on<K extends keyof ClientEvents>(kind: K, listener: Listener<ClientEvents[K]>): () => void;

    /** The conversation with an id. Nothing is asked of the server. */
    conversation(conversationId: string): Conversation;
    /** Opens the direct conversation with a person, creating it if need be. */
    openDirect(userId: string): Promise<Conversation>;
    /** Creates a group of this person and others. */
    createGroup(title: string, userIds: readonly string[]): Promise<Conversation>;
    /** Lists the inbox, the conversation with the newest entry first. */
    listInbox(): AsyncIterable<InboxEntry>;

    /** Replaces the set of people whose presence is told: up to 500. See `WatchPresence` in the contract. */
    watchPresence(userIds: readonly string[], conversationId?: string): Promise<void>;
    /** What was last heard of a watched person. */
    presenceOf(userId: string): Presence | undefined;

    readonly outbox: {
      /** Messages that the server does not have, in the order of sending; refused ones too. */
      list(): readonly SendHandle[];
      /** Resolves when no message waits any more: each was accepted, refused or discarded. */
      settled(): Promise<void>;
    };

    /** An access token that is good for some time, for calls outside of this library. */
    accessToken(): Promise<string>;
    /** Ends everything and closes the storage. What waits in the outbox goes out in the next run. */
    close(): Promise<void>;
    [Symbol.asyncDispose](): Promise<void>;
  };
