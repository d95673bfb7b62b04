/** The table of contents: which RPC is in which file. */
import { AppendService } from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { TimelineService } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { MessageService } from "@parley/gen/parley/message/v1/message_service_pb";
import { ParkedRecordService } from "@parley/gen/parley/ops/v1/parked_record_service_pb";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import { createAppendBatches } from "./append-batches.ts";
import { createListMessages } from "./list-messages.ts";
import { createListParkedRecords } from "./list-parked-records.ts";
import { createListReceipts } from "./list-receipts.ts";
import { createReadRanges } from "./read-ranges.ts";
import { createSendMessage } from "./send-message.ts";
import { createUpdateReceipt } from "./update-receipt.ts";

export type RouteDependencies = Parameters<typeof createAppendBatches>[0] &
  Parameters<typeof createReadRanges>[0] &
  Parameters<typeof createSendMessage>[0] &
  Parameters<typeof createListMessages>[0] &
  Parameters<typeof createUpdateReceipt>[0] &
  Parameters<typeof createListReceipts>[0] &
  Parameters<typeof createListParkedRecords>[0];

export function createRoutes(dependencies: RouteDependencies): Routes {
  return [
    defineRoute(AppendService, { appendBatches: createAppendBatches(dependencies) }),
    defineRoute(TimelineService, { readRanges: createReadRanges(dependencies) }),
    defineRoute(MessageService, {
      sendMessage: createSendMessage(dependencies),
      listMessages: createListMessages(dependencies),
      updateReceipt: createUpdateReceipt(dependencies),
      listReceipts: createListReceipts(dependencies),
    }),
    defineRoute(ParkedRecordService, {
      listParkedRecords: createListParkedRecords(dependencies),
    }),
  ];
}
