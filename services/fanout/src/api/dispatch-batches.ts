import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { FanoutBatch } from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import {
  type DispatchBatchesRequest,
  type DispatchBatchesResponse,
  DispatchBatchesResponseSchema,
  type DispatchItem,
  type FanoutService,
} from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { invalidArgument } from "@parley/platform/errors";
import { type BatchOutcome, serveBatchStream } from "@parley/platform/rpc/batch-stream";

type Dependencies = {
  readonly dispatcher: { dispatch(batch: FanoutBatch): Promise<void> };
  /** Takes no more items when it aborts; those at work are answered. */
  readonly drainSignal: AbortSignal;
};

/**
 * Dispatches items of direct conversations as they come. An item has no outcome but being done: what
 * cannot be done ends the stream, and the caller repeats everything that was not answered.
 */
export function createDispatchBatches({
  dispatcher,
  drainSignal,
}: Dependencies): ServiceImpl<typeof FanoutService>["dispatchBatches"] {
  return (requests) =>
    serveBatchStream<DispatchItem, void, DispatchBatchesRequest, DispatchBatchesResponse>(
      requests,
      {
        unwrap: ({ items }) => items.map((item) => ({ correlationId: item.correlationId, item })),
        handleItem({ batch }) {
          if (batch === undefined) throw invalidArgument("items.batch", "A batch is needed.");
          return dispatcher.dispatch(batch);
        },
        wrap: toResponse,
        drainSignal,
      },
    );
}

function toResponse(outcomes: readonly BatchOutcome<void>[]): DispatchBatchesResponse {
  const correlationIds: bigint[] = [];
  for (const outcome of outcomes) {
    if (!outcome.ok) throw outcome.error;
    correlationIds.push(outcome.correlationId);
  }
  return create(DispatchBatchesResponseSchema, { correlationIds });
}
