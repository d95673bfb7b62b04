import { create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import {
  type AppendAccepted,
  type AppendBatchesRequest,
  type AppendBatchesResponse,
  AppendBatchesResponseSchema,
  type AppendItem,
  type AppendResult,
  AppendResultSchema,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { invalidArgument, toRefusalFields } from "@parley/platform/errors";
import { type BatchOutcome, serveBatchStream } from "@parley/platform/rpc/batch-stream";
import type { Appender } from "./appender.ts";

type Deps = {
  readonly appender: Appender;
  /** Aborts when the service drains: no more items are read, and those at work are answered. */
  readonly drainSignal: AbortSignal;
};

/** `AppendService.AppendBatches`: every item goes its own way, and is answered when it has arrived. */
export function createAppendBatches({ appender, drainSignal }: Deps) {
  return (
    requests: AsyncIterable<AppendBatchesRequest>,
    _context: HandlerContext,
  ): AsyncIterable<AppendBatchesResponse> =>
    serveBatchStream<AppendItem, AppendAccepted, AppendBatchesRequest, AppendBatchesResponse>(
      requests,
      {
        unwrap: ({ items }) => items.map((item) => ({ correlationId: item.correlationId, item })),
        handleItem: (item) => appendItem(appender, item),
        wrap: (outcomes) =>
          create(AppendBatchesResponseSchema, { results: outcomes.map(toResult) }),
        drainSignal,
      },
    );
}

function appendItem(appender: Appender, wire: AppendItem): Promise<AppendAccepted> {
  const { conversationId, traceParent, item } = wire;
  if (item.case === "message") {
    return appender.append({ kind: "message", conversationId, traceParent, message: item.value });
  }
  const change = item.case === "change" ? item.value.change : undefined;
  if (change === undefined) throw invalidArgument("item", "neither a message nor a change");
  return appender.append({ kind: "change", conversationId, traceParent, change });
}

function toResult(outcome: BatchOutcome<AppendAccepted>): AppendResult {
  const { correlationId } = outcome;
  return create(AppendResultSchema, {
    correlationId,
    outcome: outcome.ok
      ? { case: "accepted", value: outcome.result }
      : { case: "refused", value: toRefusalFields(outcome.error) },
  });
}
