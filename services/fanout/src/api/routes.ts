/** What this service serves. */
import type { Client } from "@connectrpc/connect";
import type { FanoutBatch } from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import {
  type DispatchReceiptRequest,
  FanoutService,
} from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import type { TimelineService } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { InboxService } from "@parley/gen/parley/message/v1/inbox_service_pb";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import type { InboxStore } from "../ports.ts";
import { createDispatchBatches } from "./dispatch-batches.ts";
import { createDispatchEphemeral } from "./dispatch-ephemeral.ts";
import { createDispatchReceipt } from "./dispatch-receipt.ts";
import { createDispatchToUsers } from "./dispatch-to-users.ts";
import { createListInbox } from "./list-inbox.ts";
import { createListInboxHeads } from "./list-inbox-heads.ts";
import { createRevokeSessions } from "./revoke-sessions.ts";

export type RoutesDependencies = {
  readonly store: InboxStore;
  readonly dispatcher: { dispatch(batch: FanoutBatch): Promise<void> };
  readonly receipts: { dispatch(notice: DispatchReceiptRequest): Promise<void> };
  readonly deliverEphemeral: (event: Uint8Array, userIds: readonly string[]) => Promise<unknown>;
  readonly revoke: (userId: string, deviceIds: readonly string[]) => Promise<void>;
  readonly timeline: Client<typeof TimelineService>;
  readonly drainSignal: AbortSignal;
};

export function createRoutes(dependencies: RoutesDependencies): Routes {
  return [
    defineRoute(FanoutService, {
      dispatchBatches: createDispatchBatches(dependencies),
      dispatchEphemeral: createDispatchEphemeral(dependencies),
      dispatchReceipt: createDispatchReceipt(dependencies),
      dispatchToUsers: createDispatchToUsers(dependencies),
      revokeSessions: createRevokeSessions(dependencies),
      listInboxHeads: createListInboxHeads(dependencies),
    }),
    defineRoute(InboxService, {
      listInbox: createListInbox(dependencies),
    }),
  ];
}
