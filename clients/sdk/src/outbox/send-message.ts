/** A stored send as a request, and as the entry that it became. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Message, MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import {
  type SendMessageRequest,
  SendMessageRequestSchema,
  type SendMessageResponse,
} from "@parley/gen/parley/message/v1/message_service_pb";
import type { StoredSend } from "../storage/client-storage.ts";

export function toRequest(send: StoredSend): SendMessageRequest {
  return create(SendMessageRequestSchema, {
    conversationId: send.conversationId,
    clientMessageId: send.clientMessageId,
    body: { case: "payload", value: send.payload },
    clientTime: timestampFromMs(send.clientTimeMs),
    silent: send.silent,
  });
}

/**
 * The entry of an accepted message, as other sessions receive it: the sending session gets the answer instead.
 * What the answer does not carry follows from the entry before.
 */
export function ownEntry(
  send: StoredSend,
  response: SendMessageResponse,
  sender: { readonly userId: string; readonly deviceId: string },
  previous: Pick<Message, "unreadOrdinal" | "membershipVersion">,
): Message {
  return create(MessageSchema, {
    conversationId: send.conversationId,
    seq: response.seq,
    messageId: response.messageId,
    senderUserId: sender.userId,
    senderDeviceId: sender.deviceId,
    clientMessageId: send.clientMessageId,
    ...(response.acceptTime ? { acceptTime: response.acceptTime } : {}),
    clientTime: timestampFromMs(send.clientTimeMs),
    unreadOrdinal: previous.unreadOrdinal + (send.silent ? 0n : 1n),
    membershipVersion: previous.membershipVersion,
    body: { case: "payload", value: send.payload },
  });
}
