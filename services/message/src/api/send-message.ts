import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { MessageSubmittedSchema } from "@parley/gen/parley/internal/message/v1/log_record_pb";
import { ContentSchema } from "@parley/gen/parley/message/v1/content_pb";
import {
  type SendMessageRequest,
  type SendMessageResponse,
  SendMessageResponseSchema,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { failedPrecondition, invalidArgument } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { ConversationState } from "../domain/conversation.ts";
import type { Appender } from "./appender.ts";

type Deps = {
  readonly appender: Appender;
  readonly conversations: {
    read(conversationId: string): Promise<ConversationState | undefined>;
  };
  readonly telemetry: Pick<Telemetry, "tracer">;
};

/** `MessageService.SendMessage`: the same way into the log as the gateway's batches. */
export function createSendMessage({ appender, conversations, telemetry }: Deps) {
  return async (
    request: SendMessageRequest,
    context: HandlerContext,
  ): Promise<SendMessageResponse> => {
    const { userId, deviceId } = requireDevice(context);
    const { conversationId, clientMessageId, clientTime, silent } = request;
    const payload = await payloadOf(conversations, request, userId);
    const message = create(MessageSubmittedSchema, {
      senderUserId: userId,
      senderDeviceId: deviceId,
      clientMessageId,
      payload,
      clientTimeMs: clientTime === undefined ? 0n : BigInt(Math.trunc(timestampMs(clientTime))),
      silent,
    });
    const traceParent = sampledOrEmpty(telemetry.tracer.currentTraceParent());
    const kind = "message";
    const accepted = await appender.append({ kind, conversationId, traceParent, message });
    return create(SendMessageResponseSchema, {
      messageId: accepted.messageId,
      seq: accepted.seq,
      acceptTime: timestampFromMs(Number(accepted.acceptTimeMs)),
      duplicate: accepted.duplicate,
    });
  };
}

async function payloadOf(
  conversations: Deps["conversations"],
  { body, conversationId }: SendMessageRequest,
  userId: string,
): Promise<Uint8Array> {
  if (body.case === "payload") return body.value;
  if (body.case === undefined) throw invalidArgument("body", "a payload or a content is needed");
  const state = await conversations.read(conversationId);
  // Whoever may not send here is refused further on, and learns nothing of the conversation.
  const member = state?.members.has(userId) === true;
  if (member && state.encryptionMode !== EncryptionMode.SERVER_READABLE) {
    throw failedPrecondition(
      "CONTENT_NOT_READABLE",
      "This conversation is encrypted: send a payload that the client has encrypted.",
    );
  }
  return toBinary(ContentSchema, body.value);
}

/** A traceparent whose last flag says that it is sampled; the others are not worth their bytes. */
function sampledOrEmpty(traceParent: string | undefined): string {
  return traceParent?.endsWith("1") === true ? traceParent : "";
}
