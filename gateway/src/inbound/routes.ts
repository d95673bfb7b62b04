/** What the gateway serves, and where each public service lives. */
import { createClient, type Transport } from "@connectrpc/connect";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { ContactService } from "@parley/gen/parley/contact/v1/contact_service_pb";
import { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { DeliveryService } from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { InboxService } from "@parley/gen/parley/message/v1/inbox_service_pb";
import { MessageService } from "@parley/gen/parley/message/v1/message_service_pb";
import { OpsService } from "@parley/gen/parley/ops/v1/ops_service_pb";
import { ParkedRecordService } from "@parley/gen/parley/ops/v1/parked_record_service_pb";
import { PresenceService } from "@parley/gen/parley/presence/v1/presence_service_pb";
import { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import type { Clock } from "@parley/platform/clock";
import type { Health } from "@parley/platform/health";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import type { DeviceChecks } from "../session/device-checks.ts";
import { createConnect } from "./connect.ts";
import { createDeliverBatches, type DeliverBatchesDependencies } from "./deliver-batches.ts";
import { createMissed } from "./deliver-batches-missed.ts";
import { createEndSessions } from "./end-sessions.ts";
import { type ForwardDependencies, forward } from "./forwarder.ts";
import { asGateway } from "./gateway-caller.ts";
import { createGetServerInfo, type ServerInfo } from "./get-server-info.ts";
import { createGetStatus } from "./get-status.ts";
import { createPoll } from "./poll.ts";
import type { RealtimeDependencies } from "./realtime.ts";
import { createSubmit } from "./submit.ts";
import { createSubscribe } from "./subscribe.ts";

export type ServiceTransports = {
  readonly directory: Transport;
  readonly message: Transport;
  readonly fanout: Transport;
  readonly presence: Transport;
};

export type PublicRoutesDependencies = RealtimeDependencies &
  ForwardDependencies & {
    readonly transports: ServiceTransports;
    readonly serverInfo: ServerInfo;
    readonly health: Health;
    readonly clock: Clock;
  };

/** For everybody, at the edge. */
export function createPublicRoutes(dependencies: PublicRoutesDependencies): Routes {
  const { transports, serverInfo, clock, health, hub } = dependencies;
  const { directory, message, fanout, presence } = transports;
  return [
    forward(AccountService, directory, dependencies),
    forward(ContactService, directory, dependencies),
    forward(ConversationService, directory, dependencies),
    forward(MessageService, message, dependencies),
    forward(InboxService, fanout, dependencies),
    forward(PresenceService, presence, dependencies),
    forward(ParkedRecordService, message, dependencies),
    defineRoute(RealtimeService, {
      connect: createConnect(dependencies),
      subscribe: createSubscribe(dependencies),
      submit: createSubmit(dependencies),
      poll: createPoll(dependencies),
    }),
    defineRoute(OpsService, {
      getServerInfo: createGetServerInfo(serverInfo, clock),
      getStatus: createGetStatus({ health, sessionCount: () => hub.sessions.size }),
    }),
  ];
}

export type InternalRoutesDependencies = Omit<DeliverBatchesDependencies, "missed"> & {
  readonly hub: RealtimeDependencies["hub"];
  readonly transports: Pick<ServiceTransports, "fanout">;
  readonly deviceChecks: DeviceChecks;
};

/** For fan-out. */
export function createInternalRoutes(dependencies: InternalRoutesDependencies): Routes {
  const { hub, transports } = dependencies;
  const fanout = createClient(FanoutService, asGateway(transports.fanout));
  const missed = createMissed({ hub, fanout });
  return [
    defineRoute(DeliveryService, {
      deliverBatches: createDeliverBatches({ ...dependencies, missed }),
      endSessions: createEndSessions(dependencies),
    }),
  ];
}
