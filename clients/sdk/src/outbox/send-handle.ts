/** What a sender holds of a message on its way. */
import type { Code } from "@connectrpc/connect";
import type { SendMessageResponse } from "@parley/gen/parley/message/v1/message_service_pb";
import { createDeferred, type Deferred } from "../async/deferred.ts";
import { ParleyError } from "../errors.ts";
import type { StoredSend } from "../storage/client-storage.ts";

/**
 * `queued`: stored, and waits for a connection or for those before it · `sending`: an attempt is under way ·
 * `sent`: durable, in its place and readable · `failed`: refused; nothing happens until `retry` or `discard` ·
 * `discarded`: given up before the server had it.
 */
export type SendState = "queued" | "sending" | "sent" | "failed" | "discarded";

export type SendHandle = {
  /** Identifies the message through every repetition. */
  readonly clientMessageId: string;
  readonly conversationId: string;
  /** What was to be sent. */
  readonly payload: Uint8Array;
  /** When the person pressed send, in ms since 1970. */
  readonly clientTimeMs: number;
  readonly state: SendState;
  /** Why it was refused, or why the last attempt failed. */
  readonly error: ParleyError | undefined;
  /** Resolves when the server has the message; rejects when it refuses it or the message is discarded. */
  readonly result: Promise<SendMessageResponse>;
  /** Sends a refused message again, after everything that was sent since. Returns the handle to look at now. */
  retry(): SendHandle;
  /** Gives the message up. False if an attempt is under way or the server has it. */
  discard(): boolean;
};

export type OutboxItem = {
  send: StoredSend;
  /** Resolves when the message is in the storage. */
  readonly stored: Promise<void>;
  readonly result: Deferred<SendMessageResponse>;
  readonly handle: SendHandle;
  state: SendState;
  error: ParleyError | undefined;
};

export function createItem(
  send: StoredSend,
  stored: Promise<void>,
  actions: { retry(item: OutboxItem): SendHandle; discard(item: OutboxItem): boolean },
): OutboxItem {
  const result = createDeferred<SendMessageResponse>();
  // Nobody has to look at the promise: the state and the event tell the same.
  result.promise.catch(() => {});
  stored.catch(() => {});
  const error = send.failure ? fromFailure(send.failure) : undefined;
  if (error) result.reject(error);
  const item: OutboxItem = {
    send,
    stored,
    result,
    state: error ? "failed" : "queued",
    error,
    handle: {
      clientMessageId: send.clientMessageId,
      conversationId: send.conversationId,
      payload: send.payload,
      clientTimeMs: send.clientTimeMs,
      result: result.promise,
      get state() {
        return item.state;
      },
      get error() {
        return item.error;
      },
      retry: () => actions.retry(item),
      discard: () => actions.discard(item),
    },
  };
  return item;
}

/** A refusal as it is stored. */
export function toFailure(error: ParleyError): NonNullable<StoredSend["failure"]> {
  return { code: error.code, reason: error.reason, message: error.message };
}

function fromFailure(failure: NonNullable<StoredSend["failure"]>): ParleyError {
  return new ParleyError({ ...failure, code: failure.code as Code });
}
