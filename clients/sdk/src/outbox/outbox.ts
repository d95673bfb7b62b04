/**
 * Messages on their way out: kept until the server has them, in order within a conversation.
 *
 * A conversation has one message under way at a time. Were the next one sent before the answer, a refusal of
 * the first ("too fast") with acceptance of the second would turn their order round when the first is repeated.
 */
import { Code } from "@connectrpc/connect";
import type { SendMessageResponse } from "@parley/gen/parley/message/v1/message_service_pb";
import { createBackoff } from "../async/backoff.ts";
import { sleep } from "../async/sleep.ts";
import { clientError, isTransient, type ParleyError, toParleyError } from "../errors.ts";
import type { ClientStorage, StoredSend } from "../storage/client-storage.ts";
import type { OutboxDependencies } from "./outbox-dependencies.ts";
import {
  createItem,
  type OutboxItem,
  type SendHandle,
  type SendState,
  toFailure,
} from "./send-handle.ts";

/** Messages that may wait at a time, refused ones included. */
export const OUTBOX_MESSAGES_MAX = 1_000;
/** Conversations that send at a time, so that coming back online does not storm the server. */
const SENDING_CONVERSATIONS_MAX = 16;
/**
 * The server recognises a repetition for 7 days. A message whose outcome is unknown is not repeated when that
 * is nearly over.
 */
const REPEAT_WINDOW_MS = 6 * 24 * 3_600_000;
/** Bounds of the pause between attempts that the server answered with "later". */
const RETRY_INITIAL_MS = 250;
const RETRY_MAX_MS = 15_000;
/** Places in the outbox per ms of the clock, so that places grow from one run to the next. */
const ORDERS_PER_MS = 1_000;

/** Sends what is put into it. */
export class Outbox {
  readonly #dependencies: OutboxDependencies;
  readonly #items = new Map<string, OutboxItem>();
  /** Waiting items by conversation, in order; the first one is under way. */
  readonly #queues = new Map<string, OutboxItem[]>();
  readonly #startable: string[] = [];
  readonly #controller = new AbortController();
  readonly #working = new Set<Promise<void>>();
  #order = 0;
  #restored = false;

  constructor(dependencies: OutboxDependencies) {
    this.#dependencies = dependencies;
  }

  /** Takes over what an earlier run left, and starts. What was added before stays behind it. */
  restore(sends: readonly StoredSend[]): void {
    const early = [...this.#queues.values()].flat();
    this.#queues.clear();
    this.#startable.length = 0;
    for (const send of sends) {
      if (this.#items.has(send.clientMessageId)) continue;
      const item = this.#createItem(send, Promise.resolve());
      if (!send.failure) this.#enqueue(item);
    }
    for (const item of early) this.#enqueue(item);
    this.#restored = true;
    this.#start();
  }

  /**
   * Takes a message. It is stored before the first attempt.
   *
   * @throws ParleyError `OUTBOX_FULL`.
   */
  add(send: Omit<StoredSend, "order" | "deviceId" | "firstAttemptMs" | "failure">): SendHandle {
    if (this.#controller.signal.aborted) {
      throw clientError(Code.Canceled, "CLOSED", "The client is closed.");
    }
    if (this.#items.size >= OUTBOX_MESSAGES_MAX) {
      const text = `The outbox holds ${OUTBOX_MESSAGES_MAX} messages.`;
      throw clientError(Code.ResourceExhausted, "OUTBOX_FULL", text);
    }
    // When an attempt follows at once, it is noted with the message: one write instead of two.
    const ready = this.#restored && this.#dependencies.isReady();
    const stored: StoredSend = {
      ...send,
      order: this.#nextOrder(),
      deviceId: ready ? this.#dependencies.deviceId() : "",
      firstAttemptMs: ready ? this.#dependencies.now() : 0,
      failure: null,
    };
    const item = this.#createItem(stored, this.#dependencies.storage.write({ sends: [stored] }));
    this.#enqueue(item);
    return item.handle;
  }

  /** Every message that the server does not have yet, in order. */
  list(): SendHandle[] {
    return [...this.#items.values()]
      .sort((a, b) => a.send.order - b.send.order)
      .map((item) => item.handle);
  }

  /** An entry of the timeline shows that the server has this message, though its answer was lost. */
  confirm(clientMessageId: string, response: SendMessageResponse): void {
    const item = this.#items.get(clientMessageId);
    if (item) this.#onAccepted(item, response);
  }

  /** Resolves when nothing is waiting any more: every message was accepted, refused or discarded. */
  async settled(): Promise<void> {
    while (this.#working.size > 0) await Promise.all(this.#working);
  }

  /** Stops sending. What waits stays in the storage. */
  async close(): Promise<void> {
    this.#controller.abort();
    await this.settled();
  }

  #createItem(send: StoredSend, stored: Promise<void>): OutboxItem {
    this.#order = Math.max(this.#order, send.order);
    const item = createItem(send, stored, {
      retry: (target) => this.#retry(target),
      discard: (target) => this.#discard(target),
    });
    this.#items.set(send.clientMessageId, item);
    return item;
  }

  /** Grows within a run and, as far as the clock does, across runs: what was added first goes first. */
  #nextOrder(): number {
    this.#order = Math.max(this.#order + 1, this.#dependencies.now() * ORDERS_PER_MS);
    return this.#order;
  }

  #enqueue(item: OutboxItem): void {
    const { conversationId } = item.send;
    const queue = this.#queues.get(conversationId);
    if (queue) {
      // The first one may be under way; the others are in the order of sending.
      const after = queue.findIndex(
        (other, index) => index > 0 && other.send.order > item.send.order,
      );
      queue.splice(after < 0 ? queue.length : after, 0, item);
    } else {
      this.#queues.set(conversationId, [item]);
      this.#startable.push(conversationId);
    }
    this.#start();
  }

  #start(): void {
    if (!this.#restored) return;
    while (this.#working.size < SENDING_CONVERSATIONS_MAX) {
      const conversationId = this.#startable.shift();
      if (conversationId === undefined) return;
      const work = this.#drain(conversationId).finally(() => {
        this.#working.delete(work);
        this.#start();
      });
      this.#working.add(work);
    }
  }

  async #drain(conversationId: string): Promise<void> {
    const queue = this.#queues.get(conversationId) ?? [];
    while (queue.length > 0 && !this.#controller.signal.aborted) {
      const item = queue[0] as OutboxItem;
      if (item.state === "queued" || item.state === "sending") await this.#deliver(item);
      if (this.#controller.signal.aborted) break;
      const index = queue.indexOf(item);
      if (index >= 0) queue.splice(index, 1);
    }
    this.#queues.delete(conversationId);
  }

  /** Tries until the message is accepted, refused, confirmed otherwise, or the outbox closes. */
  async #deliver(item: OutboxItem): Promise<void> {
    const { signal } = this.#controller;
    const { random } = this.#dependencies;
    const backoff = createBackoff({ initialMs: RETRY_INITIAL_MS, maxMs: RETRY_MAX_MS, random });
    try {
      await item.stored;
    } catch (error) {
      return this.#fail(item, toParleyError(error));
    }
    while (!signal.aborted && isWaiting(item)) {
      try {
        await this.#dependencies.ready(signal);
        if (!isWaiting(item)) return;
        await this.#beforeAttempt(item);
        this.#change(item, "sending", item.error);
        const response = await this.#dependencies.deliver(item.send, signal);
        return this.#onAccepted(item, response);
      } catch (caught) {
        const error = toParleyError(caught);
        if (signal.aborted || !isWaiting(item)) return;
        if (!isTransient(error) && error.code !== Code.Unauthenticated)
          return this.#fail(item, error);
        this.#change(item, "queued", error);
        // Without a session `ready` waits; with one, the server asked for a pause or lost the answer.
        await sleep(error.retryAfterMs ?? backoff.next(), signal).catch(() => {});
      }
    }
  }

  /** @throws ParleyError `OUTCOME_UNKNOWN` when repeating could make a duplicate. */
  async #beforeAttempt(item: OutboxItem): Promise<void> {
    const { now, storage } = this.#dependencies;
    const { firstAttemptMs, deviceId } = item.send;
    if (firstAttemptMs === 0) {
      item.send = { ...item.send, firstAttemptMs: now(), deviceId: this.#dependencies.deviceId() };
      await storage.write({ sends: [item.send] });
      return;
    }
    if (deviceId !== this.#dependencies.deviceId() || now() - firstAttemptMs > REPEAT_WINDOW_MS) {
      const text = "Whether the server has this message cannot be found out any more.";
      throw clientError(Code.FailedPrecondition, "OUTCOME_UNKNOWN", text);
    }
  }

  #onAccepted(item: OutboxItem, response: SendMessageResponse): void {
    if (!this.#items.delete(item.send.clientMessageId)) return;
    this.#dependencies.onAccepted(item.send, response);
    this.#forget(item);
    this.#change(item, "sent", undefined, response);
    item.result.resolve(response);
  }

  #fail(item: OutboxItem, error: ParleyError): void {
    item.send = { ...item.send, failure: toFailure(error) };
    void this.#write({ sends: [item.send] });
    this.#change(item, "failed", error);
    item.result.reject(error);
  }

  #retry(item: OutboxItem): SendHandle {
    if (item.state !== "failed" || !this.#items.has(item.send.clientMessageId)) return item.handle;
    // At the end: what was sent after it is in the conversation already.
    const unknown = item.send.failure?.reason === "OUTCOME_UNKNOWN";
    const send = {
      ...item.send,
      order: this.#nextOrder(),
      failure: null,
      // The person decided to send again although a duplicate is possible.
      ...(unknown ? { firstAttemptMs: 0, deviceId: "" } : {}),
    };
    const next = this.#createItem(send, this.#dependencies.storage.write({ sends: [send] }));
    this.#change(next, "queued", undefined);
    this.#enqueue(next);
    return next.handle;
  }

  #discard(item: OutboxItem): boolean {
    if (item.state === "sending" || this.#items.get(item.send.clientMessageId) !== item)
      return false;
    this.#items.delete(item.send.clientMessageId);
    this.#forget(item);
    const error = clientError(Code.Canceled, "DISCARDED", "The message was discarded.");
    this.#change(item, "discarded", error);
    item.result.reject(error);
    return true;
  }

  #forget(item: OutboxItem): void {
    void this.#write({ removedSends: [item.send.clientMessageId] });
  }

  /** A removal that fails is repeated in effect: the next run sends again, and the server knows the id. */
  #write(batch: Parameters<ClientStorage["write"]>[0]): Promise<void> {
    return this.#dependencies.storage.write(batch).catch(() => {});
  }

  #change(
    item: OutboxItem,
    state: SendState,
    error: ParleyError | undefined,
    response?: SendMessageResponse,
  ): void {
    if (item.state === state && item.error === error) return;
    item.state = state;
    item.error = error;
    const { clientMessageId, conversationId } = item.send;
    this.#dependencies.onChange({ clientMessageId, conversationId, state, response, error });
  }
}

function isWaiting(item: OutboxItem): boolean {
  return item.state === "queued" || item.state === "sending";
}
