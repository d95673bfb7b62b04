/** One conversation as an application uses it. */

import { Code } from "@connectrpc/connect";
import type { Member } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Content } from "@parley/gen/parley/message/v1/content_pb";
import type { Message, Receipt } from "@parley/gen/parley/message/v1/message_pb";
import { createAsyncQueue } from "./async/queue.ts";
import {
  deletionContent,
  type EntryReference,
  editContent,
  encodeContent,
  reactionContent,
  type TextInput,
  textContent,
} from "./content/content.ts";
import { type ConversationViewer, openConversationViewer } from "./conversation-viewer.ts";
import type { Emitter } from "./emitter.ts";
import type { Engine } from "./engine.ts";
import { clientError } from "./errors.ts";
import type { ClientEvents } from "./events.ts";
import { type HistoryOptions, type HistoryPage, readHistory } from "./history.ts";
import { listMembers, listReceipts } from "./lists.ts";
import type { SendHandle } from "./outbox/send-handle.ts";
import type { ServiceClients } from "./rpc/service-clients.ts";
import type { ClientStorage, SeqRange } from "./storage/client-storage.ts";

/** Entries that may wait for whoever iterates; beyond it the iteration fails instead of memory growing. */
const ITERATION_ENTRIES_MAX = 1_000;

export type Conversation = {
  readonly id: string;
  /** The highest `seq` below which nothing is missing on this device but `holes`; 0 if it has nothing. */
  readonly position: bigint;
  /** Ranges that catch-up left out because they are far back; `history` reads them. */
  readonly holes: readonly SeqRange[];
  /** How far the person has read, as far as this device knows. */
  readonly readSeq: bigint;

  /**
   * Sends a text. It goes into the outbox, which survives a restart, and from there to the server; messages of
   * a conversation take their places in the order in which they were sent.
   *
   * @throws ParleyError `TEXT_TOO_LONG`, `OUTBOX_FULL`.
   */
  send(input: string | TextInput): SendHandle;
  /** Reacts with one emoji, in the place of an earlier reaction; with "", takes it back. */
  react(target: EntryReference, emoji: string): SendHandle;
  /** Gives an own message new words. Others ignore it for somebody else's message. */
  edit(target: EntryReference, input: string | TextInput): SendHandle;
  /** Takes an own message back. */
  delete(target: EntryReference): SendHandle;
  /** Sends any content. A silent one raises nobody's unread count. */
  sendContent(content: Content, options?: { readonly silent?: boolean }): SendHandle;

  /** The person has seen everything up to `seq`; up to the newest entry here if left out. */
  markRead(seq?: bigint): void;
  /** Call while the person types, as often as is convenient, and with false when they stop. */
  setTyping(typing: boolean): void;

  /** Reads entries: from the storage where they are there, from the server otherwise. */
  history(options?: HistoryOptions): Promise<HistoryPage>;
  /** Keeps the conversation as people see it, with edits, reactions and deletions applied. */
  open(options?: { readonly count?: number }): Promise<ConversationViewer>;
  /** Lists the members: owner, admins, members, each by join time. */
  members(): Promise<Member[]>;
  /** Lists the members' positions. */
  receipts(): Promise<Receipt[]>;

  /** The entries of this conversation from now on, in order. Ends when the loop is left or the client closes. */
  messages(): AsyncIterableIterator<Message>;
  [Symbol.asyncIterator](): AsyncIterableIterator<Message>;
};

export type ConversationDependencies = {
  /** The engine as it is at the time: another person may have signed in. */
  readonly engine: () => Engine;
  readonly ready: Promise<void>;
  readonly services: ServiceClients;
  readonly storage: ClientStorage;
  readonly emitter: Emitter<ClientEvents>;
  readonly closing: AbortSignal;
  readonly newUuid: () => string;
  readonly now: () => number;
};

/** Creates the handle of a conversation; it holds no state of its own. */
export function createConversation(
  id: string,
  dependencies: ConversationDependencies,
): Conversation {
  const { engine, ready, services } = dependencies;
  const sendContent: Conversation["sendContent"] = (content, { silent = false } = {}) =>
    engine().outbox.add({
      clientMessageId: dependencies.newUuid(),
      conversationId: id,
      payload: encodeContent(content),
      silent,
      clientTimeMs: dependencies.now(),
    });
  const silent = { silent: true };
  const history = async (options: HistoryOptions = {}) => {
    await ready;
    return readHistory(id, options, { ...dependencies, engine: engine() });
  };
  return {
    id,
    get position() {
      return engine().synchronizer.position(id);
    },
    get holes() {
      return engine().synchronizer.holes(id);
    },
    get readSeq() {
      return engine().store.timeline(id).readSeq;
    },
    send: (input) => sendContent(textContent(toInput(input))),
    react: (target, emoji) => sendContent(reactionContent(target, emoji), silent),
    edit: (target, input) => sendContent(editContent(target, toInput(input)), silent),
    delete: (target) => sendContent(deletionContent(target), silent),
    sendContent,
    markRead(seq) {
      engine().receipts.read(id, seq ?? engine().synchronizer.position(id));
    },
    setTyping: (typing) => engine().typing.notify(id, typing),
    history,
    open: (options = {}) => openConversationViewer(id, options, { ...dependencies, history }),
    members: () => listMembers(services.conversations, id),
    receipts: () => listReceipts(services.messages, id),
    messages: () => iterate(id, dependencies),
    [Symbol.asyncIterator]: () => iterate(id, dependencies),
  };
}

function toInput(input: string | TextInput): TextInput {
  return typeof input === "string" ? { text: input } : input;
}

function iterate(
  id: string,
  { emitter, closing }: ConversationDependencies,
): AsyncIterableIterator<Message> {
  const stop = () => {
    off();
    closing.removeEventListener("abort", onClose);
  };
  const queue = createAsyncQueue<Message>(ITERATION_ENTRIES_MAX, stop);
  const onClose = () => queue.close();
  const off = emitter.on("message", (entry) => {
    if (entry.conversationId !== id || queue.push(entry)) return;
    stop();
    const text = `${ITERATION_ENTRIES_MAX} entries wait to be iterated over.`;
    queue.close(clientError(Code.ResourceExhausted, "SLOW_CONSUMER", text));
  });
  closing.addEventListener("abort", onClose, { once: true });
  if (closing.aborted) onClose();
  return queue;
}
