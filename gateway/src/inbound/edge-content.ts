/** Content for clients without Protobuf: encoded on its way in, shown decoded on its way out. */
import { type Message as AnyMessage, type DescMethod, toBinary } from "@bufbuild/protobuf";
import { ContentSchema } from "@parley/gen/parley/message/v1/content_pb";
import {
  InboxService,
  type ListInboxResponse,
} from "@parley/gen/parley/message/v1/inbox_service_pb";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import {
  type ListMessagesResponse,
  MessageService,
  type SendMessageRequest,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { invalidArgument } from "@parley/platform/errors";
import type { DeviceCaller } from "@parley/platform/rpc/caller";
import { showContent } from "../outbound/event-frame.ts";
import type { ConversationModes } from "./conversation-modes.ts";

export type EdgeContent = {
  /** The bytes to send: the payload, or the content encoded. Refuses content where the server cannot read. */
  payloadOf(request: SendMessageRequest, caller: DeviceCaller): Uint8Array | Promise<Uint8Array>;
  /** A request as the service gets it; the same one if nothing is to do. */
  encode(method: DescMethod, request: AnyMessage, caller: DeviceCaller): Promise<AnyMessage>;
  /** Shows content in an answer of our own; only for the JSON roads. */
  decode(method: DescMethod, response: AnyMessage, caller: DeviceCaller): Promise<AnyMessage>;
};

const { sendMessage, listMessages } = MessageService.method;
const { listInbox } = InboxService.method;

export function createEdgeContent(modes: ConversationModes): EdgeContent {
  const encodeContent = async (request: SendMessageRequest, caller: DeviceCaller) => {
    if (request.body.case !== "content") return new Uint8Array();
    if (!(await modes.get(request.conversationId, caller))) {
      const text = "The conversation is end-to-end encrypted: only its payload can be sent.";
      throw invalidArgument("content", text, "CONTENT_NOT_READABLE");
    }
    return toBinary(ContentSchema, request.body.value);
  };

  const payloadOf = (request: SendMessageRequest, caller: DeviceCaller) =>
    request.body.case === "payload" ? request.body.value : encodeContent(request, caller);

  const show = async (messages: readonly Message[], caller: DeviceCaller): Promise<Message[]> => {
    const shown: Message[] = [];
    for (const message of messages) {
      const readable = await modes.isServerReadable(message.conversationId, caller);
      // A copy: in one process the answer may still be somebody else's.
      const copy = { ...message };
      if (readable) showContent(copy);
      shown.push(copy);
    }
    return shown;
  };

  return {
    payloadOf,
    async encode(method, request, caller) {
      if (method !== sendMessage) return request;
      const send = request as SendMessageRequest;
      if (send.body.case !== "content") return request;
      const payload = await payloadOf(send, caller);
      return { ...send, body: { case: "payload", value: payload } } as SendMessageRequest;
    },
    async decode(method, response, caller) {
      if (method === listMessages) {
        const list = response as ListMessagesResponse;
        return { ...list, messages: await show(list.messages, caller) } as ListMessagesResponse;
      }
      if (method === listInbox) {
        const list = response as ListInboxResponse;
        const entries = [];
        for (const entry of list.entries) {
          const { lastMessage } = entry;
          const [shown] = lastMessage === undefined ? [] : await show([lastMessage], caller);
          entries.push(shown === undefined ? entry : { ...entry, lastMessage: shown });
        }
        return { ...list, entries } as ListInboxResponse;
      }
      return response;
    },
  };
}
