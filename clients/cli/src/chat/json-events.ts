/**
 * Everything that happens, as one JSON object per line. The shapes are for programs: fields are added, never
 * renamed. `seq` and positions are numbers; ids are strings, because a message id does not fit a JSON number.
 */
import { toJson } from "@bufbuild/protobuf";
import { ConversationChangeSchema } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import type { EntryReference, ParleyClient } from "@parley/sdk";
import { acceptMs, wordsOf } from "./format.ts";
import type { People } from "./people.ts";

export type JsonSink = (event: Readonly<Record<string, unknown>>) => void;

/** Starts telling `sink`; returns the function that ends it. */
export function tellJson(client: ParleyClient, people: People, sink: JsonSink): () => void {
  const offs = [
    client.on("message", (entry) => sink(messageEvent(entry, people))),
    client.on("receipt", (receipt) =>
      sink({
        event: "receipt",
        conversationId: receipt.conversationId,
        userId: receipt.userId,
        user: people.name(receipt.userId),
        deliveredSeq: Number(receipt.deliveredSeq),
        readSeq: Number(receipt.readSeq),
      }),
    ),
    client.on("typing", ({ conversationId, userId, typing }) =>
      sink({ event: "typing", conversationId, userId, user: people.name(userId), typing }),
    ),
    client.on("presence", ({ userId, status }) =>
      sink({
        event: "presence",
        userId,
        user: people.name(userId),
        online: status === PresenceStatus.ONLINE,
      }),
    ),
    client.on("stateChanged", (state) =>
      sink({
        event: "state",
        state: state.state,
        ...(state.state === "offline" ? { reason: state.error?.reason } : { road: state.road }),
      }),
    ),
    client.on("caughtUp", () => sink({ event: "caughtUp" })),
    client.on("conversationReplaced", ({ conversationId, keptSeq, entries }) =>
      sink({
        event: "conversationReplaced",
        conversationId,
        keptSeq: Number(keptSeq),
        messages: entries.map((entry) => messageEvent(entry, people)),
      }),
    ),
    client.on("send", ({ conversationId, clientMessageId, state, response, error }) =>
      sink({
        event: "send",
        conversationId,
        clientMessageId,
        state,
        ...(response ? { seq: Number(response.seq), messageId: String(response.messageId) } : {}),
        ...(error ? { reason: error.reason, error: error.message } : {}),
      }),
    ),
  ];
  return () => {
    for (const off of offs) off();
  };
}

/** An entry of a conversation: a message, a reaction, an edit, a deletion or a change. */
export function messageEvent(entry: Message, people: People): Readonly<Record<string, unknown>> {
  return {
    event: "message",
    conversationId: entry.conversationId,
    seq: Number(entry.seq),
    messageId: String(entry.messageId),
    userId: entry.senderUserId,
    user: people.name(entry.senderUserId),
    time: new Date(acceptMs(entry)).toISOString(),
    ...(entry.clientMessageId === "" ? {} : { clientMessageId: entry.clientMessageId }),
    ...wordsFields(entry),
  };
}

function wordsFields(entry: Message): Readonly<Record<string, unknown>> {
  const words = wordsOf(entry);
  switch (words.kind) {
    case "text":
      return { kind: "text", text: words.text, ...seqField("replyToSeq", words.replyTo) };
    case "reaction":
      return { kind: "reaction", emoji: words.emoji, ...seqField("targetSeq", words.target) };
    case "edit":
      return { kind: "edit", text: words.text, ...seqField("targetSeq", words.target) };
    case "deletion":
      return { kind: "deletion", ...seqField("targetSeq", words.target) };
    case "change":
      return { kind: "change", change: toJson(ConversationChangeSchema, words.change) };
    default:
      return { kind: words.kind };
  }
}

function seqField(name: string, reference: EntryReference | undefined) {
  return reference ? { [name]: Number(reference.seq) } : {};
}
