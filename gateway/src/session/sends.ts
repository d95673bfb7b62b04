/** Sends of sessions, over one stream to the message service. */
import { create, type Message } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import {
  type AppendAccepted,
  type AppendBatchesRequest,
  AppendBatchesRequestSchema,
  type AppendBatchesResponse,
  AppendItemSchema,
  type AppendService,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import {
  type MessageSubmitted,
  MessageSubmittedSchema,
} from "@parley/gen/parley/internal/message/v1/log_record_pb";
import {
  type SendMessageRequest,
  type SendMessageResponse,
  SendMessageResponseSchema,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { fromRefusalFields, internal, invalidArgument, unavailable } from "@parley/platform/errors";
import { createBatchStreamClient } from "@parley/platform/rpc/batch-stream";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { Tracer } from "@parley/platform/telemetry/tracer";
import type { Session } from "./session.ts";

export type Sends = AsyncDisposable & {
  /** Appends a message of a session. Rejects with the refusal. The log keeps the order of the calls. */
  send(
    session: Session,
    request: SendMessageRequest,
    payload: Uint8Array,
  ): Promise<SendMessageResponse>;
  readonly inFlight: number;
};

/** Complete before it joins others: what cannot be encoded is refused to its sender and spoils no batch. */
type Item = {
  readonly conversationId: string;
  readonly message: MessageSubmitted;
  readonly traceParent: string;
};

/** What an item takes besides its payload: ids and times. */
const ITEM_OVERHEAD_BYTES = 256;

export function createSends(options: {
  readonly append: Client<typeof AppendService>;
  readonly tracer: Tracer;
  readonly log: Logger;
  /** Until when an answer has to be there; the stream's own time if not given. */
  readonly answerMsMax?: number;
}): Sends {
  const { append, tracer, log, answerMsMax } = options;
  const stream = createBatchStreamClient<
    Item,
    AppendAccepted,
    AppendBatchesRequest,
    AppendBatchesResponse
  >({
    name: "AppendService.AppendBatches",
    open: (batches, signal) => append.appendBatches(batches, { signal }),
    wrap: (items) =>
      create(AppendBatchesRequestSchema, {
        items: items.map(({ correlationId, item: { conversationId, message, traceParent } }) =>
          create(AppendItemSchema, {
            correlationId,
            conversationId,
            item: { case: "message", value: message },
            traceParent,
          }),
        ),
      }),
    unwrap: function* ({ results }) {
      for (const { correlationId, outcome } of results) {
        if (outcome.case === "accepted") {
          yield { correlationId, ok: true, result: outcome.value };
        } else {
          yield { correlationId, ok: false, error: refusalOf(outcome.value) };
        }
      }
    },
    sizeOf: ({ message }) => message.payload.length + ITEM_OVERHEAD_BYTES,
    log,
    ...(answerMsMax === undefined ? {} : { itemTimeoutMs: answerMsMax }),
  });
  return {
    async send(session, request, payload) {
      const { conversationId } = request;
      const message = toMessage(session, request, payload);
      const span = tracer.startSpan("gateway.receive", { kind: "server" });
      const traceParent = span.traceParent ?? "";
      try {
        return toResponse(await stream.call({ conversationId, message, traceParent }));
      } catch (error) {
        span.fail("refused");
        throw isDeadline(error) ? outcomeUnknown() : error;
      } finally {
        span.end();
      }
    },
    get inFlight() {
      return stream.inFlight;
    },
    [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose](),
  };
}

/** The years 1 to 9999, as the well-known type allows: what lies beyond cannot be shown to JSON's readers. */
const CLIENT_TIME_MS_MIN = Date.parse("0001-01-01T00:00:00Z");
const CLIENT_TIME_MS_MAX = Date.parse("9999-12-31T23:59:59.999Z");

function clientTimeMsOf(time: Timestamp | undefined): bigint {
  if (time === undefined) return 0n;
  const ms = Number(time.seconds) * 1000 + Math.floor(time.nanos / 1e6);
  if (ms >= CLIENT_TIME_MS_MIN && ms <= CLIENT_TIME_MS_MAX) return BigInt(ms);
  throw invalidArgument("client_time", "A time lies between the years 1 and 9999.");
}

function isDeadline(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.DeadlineExceeded;
}

function outcomeUnknown(): ConnectError {
  return unavailable("OUTCOME_UNKNOWN", "Repeat with the same client_message_id.");
}

function toMessage(
  session: Session,
  { clientMessageId, clientTime, silent }: SendMessageRequest,
  payload: Uint8Array,
): MessageSubmitted {
  return create(MessageSubmittedSchema, {
    senderUserId: session.userId,
    senderDeviceId: session.deviceId,
    clientMessageId,
    payload,
    clientTimeMs: clientTimeMsOf(clientTime),
    silent,
    originSessionId: session.id,
  });
}

function toResponse(accepted: AppendAccepted): SendMessageResponse {
  return create(SendMessageResponseSchema, {
    messageId: accepted.messageId,
    seq: accepted.seq,
    acceptTime: timestampFromMs(Number(accepted.acceptTimeMs)),
    duplicate: accepted.duplicate,
  });
}

function refusalOf(
  refused:
    | (Message & { code: number; reason: string; description: string; retryAfterMs: number })
    | undefined,
): Error {
  return refused === undefined
    ? internal(new Error("an append was answered without an outcome"))
    : fromRefusalFields(refused);
}
