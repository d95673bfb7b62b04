/** What the append RPCs need: handing an item to the log and learning what became of it. */
import type { ConversationChange } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { AppendAccepted } from "@parley/gen/parley/internal/message/v1/append_service_pb";
import type { MessageSubmitted } from "@parley/gen/parley/internal/message/v1/log_record_pb";

/** A message or change of one conversation. */
export type AppendItem = {
  readonly conversationId: string;
  /** The caller's W3C traceparent; empty if not sampled. */
  readonly traceParent: string;
} & (
  | { readonly kind: "message"; readonly message: MessageSubmitted }
  | { readonly kind: "change"; readonly change: ConversationChange }
);

export type Appender = {
  /**
   * Resolves when the item is durable, in order and readable; rejects with the refusal that its caller is
   * told. `UNAVAILABLE`: the outcome is unknown, and the caller repeats.
   */
  append(item: AppendItem): Promise<AppendAccepted>;
};
