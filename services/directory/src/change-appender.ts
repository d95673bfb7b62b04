/** Hands conversation changes to the message service, on one long-lived stream of batches. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  type AppendAccepted,
  type AppendBatchesRequestSchema,
  type AppendBatchesResponse,
  AppendService,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { internal, unavailable } from "@parley/platform/errors";
import type { BatchOutcome } from "@parley/platform/rpc/batch-stream";
import { createBatchStreamClient } from "@parley/platform/rpc/batch-stream";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import { createChangeCheck } from "./change-check.ts";
import { ChangeConflictError, type OutboxEntry } from "./conversation-ports.ts";

type Batch = MessageInitShape<typeof AppendBatchesRequestSchema>;

/** The message service's own word for it: it sees what has no place in the timeline too. */
const CHANGE_CONFLICT = "CHANGE_CONFLICT";

export type ChangeAppender = AsyncDisposable & {
  /**
   * Resolves when the change has been applied, now or before. Rejects with a `ChangeConflictError` when
   * another one has been applied in its place.
   */
  append(entry: OutboxEntry): Promise<void>;
};

/** Creates the appender; the stream is opened by the first append. */
export function createChangeAppender(dependencies: {
  readonly transport: Transport;
  readonly telemetry: Pick<Telemetry, "log">;
}): ChangeAppender {
  const client = createClient(AppendService, dependencies.transport);
  const check = createChangeCheck(dependencies.transport);
  const stream = createBatchStreamClient<OutboxEntry, AppendAccepted, Batch, AppendBatchesResponse>(
    {
      name: "AppendService.AppendBatches",
      open: (batches, signal) => client.appendBatches(batches, { signal }),
      wrap: (items) => ({
        items: items.map(({ correlationId, item }) => ({
          correlationId,
          conversationId: item.conversationId,
          item: { case: "change", value: { change: item.change } },
          traceParent: item.traceParent,
        })),
      }),
      unwrap: (response) => response.results.map(toOutcome),
      log: dependencies.telemetry.log,
    },
  );
  return {
    async append(entry) {
      const accepted = await stream.call(entry);
      if (accepted.duplicate) await check(entry, accepted);
    },
    [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose](),
  };
}

function toOutcome(result: AppendBatchesResponse["results"][number]): BatchOutcome<AppendAccepted> {
  const { correlationId, outcome } = result;
  switch (outcome.case) {
    case "accepted":
      return { correlationId, ok: true, result: outcome.value };
    case "refused": {
      const { code, reason, description, retryAfterMs } = outcome.value;
      if (reason === CHANGE_CONFLICT) {
        return { correlationId, ok: false, error: new ChangeConflictError(description) };
      }
      const cause = new ConnectError(description, code);
      return {
        correlationId,
        ok: false,
        error: unavailable(reason, description, { retryAfterMs, cause }),
      };
    }
    default:
      return { correlationId, ok: false, error: internal(new Error("an answer without outcome")) };
  }
}
