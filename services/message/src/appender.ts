/** Step 2 to 4 and 7: what is refused at once is refused; the rest goes to the log, and waits to be applied. */
import { create } from "@bufbuild/protobuf";
import {
  type AppendAccepted,
  AppendAcceptedSchema,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import {
  type MessageSubmitted,
  MessageSubmittedSchema,
} from "@parley/gen/parley/internal/message/v1/log_record_pb";
import { internal, invalidArgument, resourceExhausted, unavailable } from "@parley/platform/errors";
import { partitionOf } from "@parley/platform/log/partition";
import { type Log, LogOverloadedError, type LogPosition } from "@parley/platform/log/port";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { Span } from "@parley/platform/telemetry/tracer";
import type { Appender, AppendItem } from "./api/appender.ts";
import { refusalOf } from "./api/refusals.ts";
import type { RecordOutcome } from "./batch-work.ts";
import type { ConversationReader } from "./conversation-reader.ts";
import { refuseMessage } from "./domain/applier.ts";
import type { ConversationState } from "./domain/conversation.ts";
import { takesPlace } from "./domain/membership.ts";
import {
  type ApplicableRecord,
  encodeRecord,
  isConversationId,
  problemOfChange,
  problemOfMessage,
} from "./domain/record.ts";
import { MESSAGES_TOPIC } from "./message-consumer.ts";
import type { MessageMetrics } from "./metrics.ts";
import type { OutcomeWaiters } from "./outcome-waiters.ts";
import type { MessageStore } from "./ports.ts";

export type AppenderDependencies = {
  readonly log: Pick<Log, "append" | "identity">;
  readonly store: Pick<MessageStore, "findDedupe" | "findRow" | "readClosedWindows" | "full">;
  readonly conversations: ConversationReader;
  readonly waiters: OutcomeWaiters;
  readonly metrics: MessageMetrics;
  readonly telemetry: Pick<Telemetry, "tracer">;
  /** Stamped into every message. */
  readonly limits: { readonly payloadBytesMax: number; readonly dedupeWindowMs: number };
};

export function createAppender(dependencies: AppenderDependencies): Appender {
  return new LogAppender(dependencies);
}

/** Enough for a log that is briefly behind, without a rush when it comes back. */
const OVERLOADED_RETRY_MS = 500;
/** The store tries again after 5 s at the latest. */
const NOT_WRITABLE_RETRY_MS = 2000;

class LogAppender implements Appender {
  readonly #dependencies: AppenderDependencies;
  readonly #partitionCount: number;

  constructor(dependencies: AppenderDependencies) {
    this.#dependencies = dependencies;
    this.#partitionCount = dependencies.log.identity.partitionCount;
  }

  append(item: AppendItem): Promise<AppendAccepted> {
    if (item.traceParent === "") return this.#append(item, undefined);
    const { tracer } = this.#dependencies.telemetry;
    const span = tracer.startSpan("message.append", { parent: item.traceParent });
    return this.#append(item, span).finally(() => span.end());
  }

  #append(item: AppendItem, span: Span | undefined): Promise<AppendAccepted> {
    const record = this.#toRecord(item, span);
    if (record instanceof Error) return Promise.reject(record);
    if (record.kind === "change") return this.#submit(record, span);
    const { conversations, waiters } = this.#dependencies;
    // Whoever applies the partition decides; a look into the store from here would only cost time.
    if (!waiters.isOpen(this.#partitionOf(record))) return this.#submit(record, span);
    const state = conversations.peek(record.conversationId);
    // What is in memory needs no wait: the common case stays one turn of the event loop.
    if (state !== undefined && refuseMessage(state, record.message) === undefined) {
      return this.#submit(record, span);
    }
    return this.#appendChecked(record, span);
  }

  /** Looks closely before refusing: at the stored conversation, and at what was accepted before. */
  async #appendChecked(
    record: Extract<ApplicableRecord, { kind: "message" }>,
    span: Span | undefined,
  ): Promise<AppendAccepted> {
    const { conversations, store, waiters, metrics } = this.#dependencies;
    using _held = waiters.hold();
    const { conversationId, message } = record;
    const state = await conversations.read(conversationId);
    const refused = state === undefined ? "CONVERSATION_NOT_FOUND" : refuseMessage(state, message);
    if (refused === undefined) return this.#submit(record, span);
    const { senderUserId: userId, senderDeviceId: deviceId, clientMessageId } = message;
    const key = { conversationId, userId, deviceId, clientMessageId };
    const [known] = await store.findDedupe([{ key, beforeOffset: Number.MAX_SAFE_INTEGER }]);
    // It may be a repetition, whose first result stands; only the applier can tell.
    if (known !== undefined) return this.#submit(record, span);
    const reason = await this.#reasonFor(refused, state, userId);
    metrics.refused.inc({ reason });
    throw refusalOf(reason);
  }

  /** Who never was a member learns nothing of the conversation. */
  async #reasonFor(
    refused: Parameters<typeof refusalOf>[0],
    state: ConversationState | undefined,
    userId: string,
  ): Promise<Parameters<typeof refusalOf>[0]> {
    if (refused !== "NOT_A_MEMBER" || state === undefined) return refused;
    const { store } = this.#dependencies;
    const windows = await store.readClosedWindows(state.conversationId, userId);
    return windows.length === 0 ? "CONVERSATION_NOT_FOUND" : refused;
  }

  async #submit(record: ApplicableRecord, span: Span | undefined): Promise<AppendAccepted> {
    const { store, waiters, metrics } = this.#dependencies;
    // It would be safe in the log, and not be applied before its caller gives up.
    if (store.full) throw notWritable();
    const partition = this.#partitionOf(record);
    metrics.appended.inc({ kind: record.kind });
    const outcome = await waiters.wait(partition, () => this.#write(partition, record, span));
    if (outcome.kind === "accepted") {
      if (outcome.duplicate && record.kind === "change") return this.#firstOf(record);
      return toAccepted(outcome);
    }
    if (outcome.kind === "refused") {
      metrics.refused.inc({ reason: outcome.reason });
      throw refusalOf(outcome.reason);
    }
    if (outcome.kind === "unknown") {
      throw unavailable("OUTCOME_UNKNOWN", "What became of the record cannot be said; repeat it.");
    }
    throw internal(new Error("a record that was encoded here was parked"));
  }

  #partitionOf({ conversationId }: ApplicableRecord): number {
    return partitionOf(conversationId, this.#partitionCount);
  }

  #write(
    partition: number,
    record: ApplicableRecord,
    span: Span | undefined,
  ): Promise<LogPosition> {
    const { log, telemetry } = this.#dependencies;
    const written = log.append(MESSAGES_TOPIC, partition, encodeRecord(record)).catch(toRefusal);
    if (span?.recording !== true) return written;
    const logged = telemetry.tracer.startSpan("message.log", {
      parent: span.traceParent,
      kind: "producer",
    });
    return written.finally(() => logged.end());
  }

  /** What a change became when it was applied first. */
  async #firstOf(record: Extract<ApplicableRecord, { kind: "change" }>): Promise<AppendAccepted> {
    const { conversations, store } = this.#dependencies;
    const { conversationId, change } = record;
    const state = takesPlace(change) ? await conversations.read(conversationId) : undefined;
    const row =
      state === undefined
        ? undefined
        : await store.findRow(
            conversationId,
            state.lastSeq,
            "membershipVersion",
            change.membershipVersion,
          );
    return create(AppendAcceptedSchema, {
      seq: BigInt(row?.seq ?? 0),
      messageId: row?.messageId ?? 0n,
      acceptTimeMs: BigInt(row?.appendTimeMs ?? 0),
      duplicate: true,
    });
  }

  /** The record with the limits of now stamped into it, or why there can be none. */
  #toRecord(item: AppendItem, span: Span | undefined): ApplicableRecord | Error {
    const { conversationId } = item;
    const traceParent = span?.recording === true ? (span.traceParent ?? "") : "";
    if (!isConversationId(conversationId)) return refusalOf("CONVERSATION_NOT_FOUND");
    if (item.kind === "change") {
      const problem = problemOfChange(item.change);
      if (problem !== undefined) return invalidArgument("change", problem);
      return { kind: "change", conversationId, traceParent, change: item.change };
    }
    const message = this.#stamp(item.message);
    const problem = problemOfMessage(message);
    if (problem !== undefined) return invalidArgument("message", problem);
    return { kind: "message", conversationId, traceParent, message };
  }

  #stamp(message: MessageSubmitted): MessageSubmitted {
    const { payloadBytesMax, dedupeWindowMs } = this.#dependencies.limits;
    return create(MessageSubmittedSchema, {
      senderUserId: message.senderUserId,
      senderDeviceId: message.senderDeviceId,
      clientMessageId: message.clientMessageId,
      payload: message.payload,
      clientTimeMs: message.clientTimeMs,
      silent: message.silent,
      originSessionId: message.originSessionId,
      payloadBytesMax,
      dedupeWindowMs: BigInt(dedupeWindowMs),
    });
  }
}

function toAccepted(outcome: Extract<RecordOutcome, { kind: "accepted" }>): AppendAccepted {
  return create(AppendAcceptedSchema, {
    messageId: outcome.messageId,
    seq: BigInt(outcome.seq),
    acceptTimeMs: BigInt(outcome.acceptTimeMs),
    duplicate: outcome.duplicate,
  });
}

function notWritable(): Error {
  const text = "Messages cannot be stored at the moment.";
  return unavailable("STORE_NOT_WRITABLE", text, { retryAfterMs: NOT_WRITABLE_RETRY_MS });
}

function toRefusal(error: unknown): never {
  if (error instanceof LogOverloadedError) {
    throw resourceExhausted("LOG_OVERLOADED", "The log cannot take more at the moment.", {
      retryAfterMs: OVERLOADED_RETRY_MS,
    });
  }
  throw unavailable("OUTCOME_UNKNOWN", "The log may or may not have taken the record.", {
    cause: error,
  });
}
