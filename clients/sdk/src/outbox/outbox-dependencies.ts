/** What the outbox needs, and what it tells. */
import type { SendMessageResponse } from "@parley/gen/parley/message/v1/message_service_pb";
import type { ParleyError } from "../errors.ts";
import type { ClientStorage, StoredSend } from "../storage/client-storage.ts";
import type { SendState } from "./send-handle.ts";

export type SendEvent = {
  readonly clientMessageId: string;
  readonly conversationId: string;
  readonly state: SendState;
  /** Set when `state` is `sent`. */
  readonly response: SendMessageResponse | undefined;
  /** Why it was refused, or why the last attempt failed. */
  readonly error: ParleyError | undefined;
};

export type OutboxDependencies = {
  readonly storage: Pick<ClientStorage, "write">;
  readonly deviceId: () => string;
  /** True if an attempt makes sense now. */
  readonly isReady: () => boolean;
  /** Resolves when an attempt makes sense: a session is open, or none is wanted. */
  readonly ready: (signal: AbortSignal) => Promise<void>;
  readonly deliver: (send: StoredSend, signal: AbortSignal) => Promise<SendMessageResponse>;
  /** The server has the message; called before its promise resolves. */
  readonly onAccepted: (send: StoredSend, response: SendMessageResponse) => void;
  readonly onChange: (event: SendEvent) => void;
  readonly now: () => number;
  readonly random: () => number;
};
