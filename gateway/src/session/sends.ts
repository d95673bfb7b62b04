/** Sends of sessions, over one stream to the message service. */
import { create, type Message } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import {
  type AppendAccepted,
  type AppendBatchesRequest,
  AppendBatchesRequestSchema,
  type AppendBatchesResponse,
  AppendItemSchema,
  type AppendService,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { MessageSubmittedSchema } from "@parley/gen/parley/internal/message/v1/log_record_pb";
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

type Item = {
  readonly session: Session;
  readonly request: SendMessageRequest;
  readonly payload: Uint8Array;
  readonly traceParent: string;
};

/** What an item takes besides its payload: ids and times. */
const ITEM_OVERHEAD_BYTES = 256;

export function createSends(options: {
  readonly append: Client<typeof AppendService>;
  readonly tracer: Tracer;
  readonly log: Logger;
}): Sends {
  const { append, tracer, log } = options;
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
        items: items.map(({ correlationId, item }) => toAppendItem(correlationId, item)),
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
    sizeOf: ({ payload }) => payload.length + ITEM_OVERHEAD_BYTES,
    log,
  });
  return {
    async send(session, request, payload) {
      assertTime(request.clientTime);
      const span = tracer.startSpan("gateway.receive", { kind: "server" });
      const traceParent = span.traceParent ?? "";
      try {
        return toResponse(await stream.call({ session, request, payload, traceParent }));
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

/** The years 1 to 9999, as the well-known type allows; what lies beyond cannot be encoded for the message service. */
const SECONDS_MIN = -62_135_596_800n;
const SECONDS_MAX = 253_402_300_799n;

function assertTime(time: Timestamp | undefined): void {
  if (time === undefined || (time.seconds >= SECONDS_MIN && time.seconds <= SECONDS_MAX)) return;
  throw invalidArgument("client_time", "A time lies between the years 1 and 9999.");
}

function isDeadline(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.DeadlineExceeded;
}

function outcomeUnknown(): ConnectError {
  return unavailable("OUTCOME_UNKNOWN", "Repeat with the same client_message_id.");
}

function toAppendItem(correlationId: bigint, { session, request, payload, traceParent }: Item) {
  const { conversationId, clientMessageId, clientTime, silent } = request;
  const message = create(MessageSubmittedSchema, {
    senderUserId: session.userId,
    senderDeviceId: session.deviceId,
    clientMessageId,
    payload,
    clientTimeMs: clientTime === undefined ? 0n : BigInt(Math.trunc(timestampMs(clientTime))),
    silent,
    originSessionId: session.id,
  });
  return create(AppendItemSchema, {
    correlationId,
    conversationId,
    item: { case: "message", value: message },
    traceParent,
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
